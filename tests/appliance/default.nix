# The appliance's store: the system that boots, Nix itself, and paths of each kind that a store can hold.
# Evaluated and built by a real Nix whose root is a Debian tree (see build-store.sh): what Debian ships as packages
# becomes store paths here, one a library, each referring to the libraries that it needs.
# `release`: "" is the appliance of the boots; "1" and "2" are two versions of a smaller one, between which an
# upper is moved (see `releases`).
{ facts, recipe, release ? "" }:
let
  # { "libz.so.1": { "file": "/usr/lib/...", "needed": [ "libc.so.6" ] }, ... }; made by list-libraries.sh.
  known = builtins.fromJSON (builtins.readFile facts);
  libraries = known.libraries;

  build = name: variables: script: derivation ({
    inherit name;
    system = "x86_64-linux";
    builder = "/bin/sh";
    args = [ "-eu" (builtins.path { name = baseNameOf script; path = recipe + "/${script}"; }) ];
    PATH = "/usr/bin:/bin";
  } // variables);

  # Libraries that need each other in a circle are one package, as in every distribution.
  toolchainNames = [
    "ld-linux-x86-64.so.2" "libc.so.6" "libm.so.6" "libdl.so.2" "libpthread.so.0" "librt.so.1"
    "libresolv.so.2" "libutil.so.1" "libnss_dns.so.2" "libgcc_s.so.1" "libstdc++.so.6"
  ];
  toolchain = build "toolchain-${known.libc}" {
    files = map (name: libraries.${name}.file) (builtins.filter (name: libraries ? ${name}) toolchainNames);
  } "build-libraries.sh";

  isToolchain = name: builtins.elem name toolchainNames;
  packageOf = name:
    if isToolchain name then toolchain else packages.${name};
  unique = builtins.foldl' (seen: item: if builtins.elem item seen then seen else seen ++ [ item ]) [ ];
  packagesOf = names: unique (map (name: "${packageOf name}") names);

  packages = builtins.mapAttrs
    (name: library: build (builtins.replaceStrings [ "+" ] [ "p" ] name) {
      files = [ library.file ];
      needs = packagesOf library.needed;
    } "build-libraries.sh")
    (removeAttrs libraries toolchainNames);

  # A package of programs: { "nix": [ "/usr/bin/nix" ... ] }.
  programs = builtins.mapAttrs
    (name: program: build "${name}-${program.version}" {
      inherit (program) files;
      needs = packagesOf program.needed;
      interpreter = "${toolchain}/lib/ld-linux-x86-64.so.2";
    } "build-programs.sh")
    known.programs;

  kernel = build "linux-${known.kernel.version}" {
    inherit (known.kernel) image modules;
  } "build-kernel.sh";

  # What the store knows by the hash of its content instead of by who built it.
  fixedOutput = derivation {
    name = "motto.txt";
    system = "x86_64-linux";
    builder = "/bin/sh";
    args = [ "-c" "printf 'an upper can add, never replace\\n' >$out" ];
    outputHashMode = "flat";
    outputHashAlgo = "sha256";
    outputHash = builtins.hashString "sha256" "an upper can add, never replace\n";
  };
  source = builtins.path { name = "appliance-recipe"; path = recipe; };
  text = builtins.toFile "notes.txt" "A text path that refers to ${source}.\n";

  # Many small paths that refer to one another, as the unit files of a real system do.
  units = builtins.genList
    (n: builtins.toFile "unit-${toString n}.service" ''
      [Service]
      Description=unit ${toString n} of ${source}
      ${if n > 0 then "After=${builtins.elemAt units (n - 1)}" else ""}
    '') (if release == "" then 200 else 20);

  # A derivation with two outputs that is in the store as a .drv, with all that its building needs.
  seed = derivation {
    name = "seed";
    system = "x86_64-linux";
    builder = "${programs.busybox}/bin/busybox";
    args = [ "sh" "-c" "echo seed >$out; echo documentation of $out >$doc" ];
    outputs = [ "out" "doc" ];
  };

  # What differs between two releases, as far as an upper can tell. /tmp/release is there where they are made and
  # not on the appliance: so the same derivation has other contents each time, as a build that cannot be reproduced.
  impure = name: derivation {
    inherit name;
    system = "x86_64-linux";
    builder = "${programs.busybox}/bin/busybox";
    args = [ "sh" "-c" "if [ -e /tmp/release ]; then read by </tmp/release; else by=the-appliance; fi; echo made by $by >$out" ];
  };
  changed = impure "changed";
  builtLater = impure "built-later"; # in release 1 its derivation only: the appliance can build it itself
  releases = {
    "" = { };
    "1" = {
      inherit changed;
      builtLater = builtins.unsafeDiscardOutputDependency builtLater.drvPath;
      only = builtins.toFile "only-in-1.txt" "Release 2 has no such path.\n";
    };
    "2" = {
      inherit changed builtLater;
      only = builtins.toFile "only-in-2.txt" "Release 1 has no such path.\n";
    };
  };
in
{
  system = build "appliance-system" ({
    busybox = programs.busybox;
    programs = map (name: programs.${name}) (builtins.attrNames programs);
    inherit fixedOutput text seed units;
    seedDoc = seed.doc;
    seedDerivation = builtins.unsafeDiscardOutputDependency seed.drvPath;
    scenarios = builtins.path { name = "scenarios"; path = recipe + "/scenarios"; };
    init = builtins.path { name = "appliance-init"; path = recipe + "/init"; };
  } // (if release == "" then { inherit kernel; } else releases.${release})) "build-system.sh";
}
