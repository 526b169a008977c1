# A store image as one derivation: the closure of a system, sealed. It is built in the ordinary sandbox, without
# root, loop devices or a virtual machine, and is the same, byte for byte, wherever it is built.
#
#   nix-build nixos-module/image.nix --argstr system /nix/store/…-nixos-system-…
#
# In the result: NAME_VERSION.raw, root-hash (hex), and image.json as `underlay image inspect --json` prints it.
{
  pkgs ? import <nixpkgs> { },
  underlay ? pkgs.callPackage ./package.nix { },
  # The system whose `init` is started: a derivation, or the path of one that is in the store.
  system,
  # More store paths to take, with all that they refer to.
  closureRoots ? [ ],
  name ? "system",
  version ? "1",
  filesystem ? "erofs",
  compression ? null,
  fec ? null,
  rollbackIndex ? 0,
  attachable ? true,
  # Paths outside of the store, see boot.underlay.store.signing; null: unsigned.
  key ? null,
  certificate ? null,
}:
let
  toplevel = if builtins.isString system then builtins.storePath system else system;
  option = flag: value: if value == null then "" else "${flag} ${toString value}";
  options = toString [
    "--name ${name}"
    "--version ${version}"
    "--format ${filesystem}"
    "--rollback-index ${toString rollbackIndex}"
    "--machine ${pkgs.stdenv.hostPlatform.uname.processor}"
    (option "--compression" compression)
    (if fec == null then "" else "--fec=${toString fec}")
    (if attachable then "" else "--no-database")
    (option "--key" key)
    (option "--cert" certificate)
  ];
in
pkgs.runCommand "underlay-image-${name}-${version}"
  {
    nativeBuildInputs = [
      underlay
      pkgs.jq
    ];
    # Nix writes what it knows of the closure into the build's attributes.
    __structuredAttrs = true;
    exportReferencesGraph.closure = [ toplevel ] ++ closureRoots;
    passthru = { inherit name version; };
  }
  ''
    mkdir $out
    image=$out/${name}_${version}.raw
    jq .closure "$NIX_ATTRS_JSON_FILE" >closure.json
    underlay manifest create -o manifest --json closure.json
    underlay image build -o $image --system ${toplevel} --manifest manifest ${options}
    underlay image inspect --json $image >$out/image.json
    jq -r '.slots[0].rootHash' $out/image.json >$out/root-hash
  ''
