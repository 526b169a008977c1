# What the user builds, with programs that are sealed.
let
  sealed = import ./sealed.nix;
  inherit (sealed) busybox library two addressed addressedUser;
  make = name: extra: script: derivation ({
    inherit name;
    system = "x86_64-linux";
    builder = "${busybox}/bin/sh";
    args = [ "-euc" script ];
    PATH = "${busybox}/bin";
  } // extra);
  program = name: version: make "${name}-${version}" { } ''
    mkdir -p $out/bin
    printf '#!%s\necho %s %s\n' ${busybox}/bin/sh ${name} ${version} >$out/bin/${name}
    chmod +x $out/bin/${name}
    ln -s ${library}/lib/numbers $out/bin/${name}-numbers
  '';
in
rec {
  hello = program "hello" "1.0";
  helloNew = program "hello" "2.0";
  other = program "other" "1.0";
  leans = make "leans-1.0" { } "mkdir $out; echo ${hello} ${two.dev} >$out/leans; seq 3000 >$out/numbers";
  twin = make "twin-1.0" { } "mkdir $out; seq 3000 >$out/numbers";
  outputs = make "outputs-1.0" { outputs = [ "out" "doc" ]; } "echo $doc >$out; echo documentation >$doc";
  imports = import (make "imports.nix" { } "echo '\"evaluated from a build\"' >$out");
  changes = make "changes-1.0" { } "cat /proc/sys/kernel/random/uuid >$out";
  fails = make "fails-1.0" { } "echo this goes wrong; exit 3";
  users = make "users-1.0" { } "echo built for a user >$out";
  users2 = make "users-2.0" { } "echo built once more for a user >$out";

  first = make "first" addressed "mkdir $out; echo first >$out/text";
  second = make "second" (addressed // { inherit first; }) "echo $first >$out";
  # The same content by another derivation: what leans on it is not built again.
  firstAgain = make "first" (addressed // { comment = "another one"; }) "mkdir $out; echo first >$out/text";
  secondAgain = make "second" (addressed // { first = firstAgain; }) "echo $first >$out";
  onSealed = make "on-sealed" (addressed // { sealed = addressedUser; }) "cat $sealed >$out";
  # What is sealed, built anew.
  inherit (sealed) alone;
}
