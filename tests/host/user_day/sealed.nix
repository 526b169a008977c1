# What is sealed, as a distribution's packages would be: programs, a library, derivations of each kind. What the user
# builds (day.nix) leans on them.
let
  make = name: extra: script: derivation ({
    inherit name;
    system = "x86_64-linux";
    builder = "/bin/bash";
    # The last word is the shell's own: coreutils close what they write to before they end, which Nix takes for the end.
    args = [ "-euc" (script + "\n:") ];
    PATH = "/usr/bin:/bin";
  } // extra);
  addressed = { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; };
in
rec {
  inherit addressed;
  busybox = make "busybox-1.0" { } ''
    mkdir -p $out/bin
    cp /usr/bin/busybox $out/bin/
    for applet in sh cat mkdir seq ln chmod; do ln -s busybox $out/bin/$applet; done
  '';
  library = make "library-1.0" { } ''
    mkdir -p $out/lib
    seq 40000 >$out/lib/numbers
    echo ${busybox}/bin/sh >$out/lib/shell
    ln -s numbers $out/lib/link
  '';
  two = make "two-1.0" { outputs = [ "out" "dev" ]; } ''
    echo ${library} >$out
    echo $out >$dev
  '';
  fixed = make "fixed" {
    outputHashMode = "flat";
    outputHashAlgo = "sha256";
    outputHash = builtins.hashString "sha256" "fixed\n";
  } "echo fixed >$out";
  addressedBase = make "addressed-base" addressed "echo sealed >$out";
  addressedUser = make "addressed-user" (addressed // { base = addressedBase; }) "echo $base >$out";
  alone = make "alone" { } "echo alone >$out";
  system = remount: make "system" { inherit two; inherit (two) dev; derivation = builtins.unsafeDiscardOutputDependency two.drvPath; } ''
    mkdir -p $out/bin
    printf '#!%s\n' ${busybox}/bin/sh >$out/init
    chmod +x $out/init
    ln -s ${remount} $out/bin/underlay-remount
    echo $two $dev $derivation ${fixed} >$out/parts
  '';
}
