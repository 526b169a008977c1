# Packages for the evaluation: store paths with the right names and nothing in them. Commands are kept as text.
{ lib }:
let
  package = name: version: {
    type = "derivation";
    inherit name version;
    outPath = "/nix/store/00000000000000000000000000000000-${name}-${version}";
  };
in
{
  inherit lib package;
  stdenv.hostPlatform = {
    uname.processor = "x86_64";
    efiArch = "x64";
  };
  callPackage = _file: _arguments: package "underlay" "0.1.0";
  closureInfo = { rootPaths }: "/closure-of:${lib.concatStringsSep "," (map toString rootPaths)}";
  runCommand =
    name: variables: script:
    package name "1" // { inherit script variables; };
  writeShellScriptBin = name: script: package name "1" // { inherit script; };
  e2fsprogs = package "e2fsprogs" "1.47";
  xfsprogs = package "xfsprogs" "6.13";
  btrfs-progs = package "btrfs-progs" "6.13";
  f2fs-tools = package "f2fs-tools" "1.16";
  jq = package "jq" "1.7";
  systemd = package "systemd" "257";
}
