# As much of nixpkgs as nixos-module/image.nix asks for, in derivations that really build: the host's shell and tools
# are shown to the sandbox by the test, `underlay` is what `make` built.
{ underlay }:
{
  stdenv.hostPlatform.uname.processor = "x86_64";
  jq = "/usr";
  runCommand =
    name: variables: script:
    derivation (
      removeAttrs variables [
        "nativeBuildInputs"
        "passthru"
      ]
      // {
        inherit name;
        system = builtins.currentSystem;
        builder = "/bin/bash";
        # What nixpkgs' stdenv does before a script that has structured attributes.
        args = [
          "-euc"
          ''
            . "$NIX_BUILD_TOP/.attrs.sh"
            export NIX_ATTRS_JSON_FILE=$NIX_BUILD_TOP/.attrs.json out=''${outputs[out]}
            export PATH=${underlay}:/usr/sbin:/usr/bin:/sbin:/bin
            ${script}
            exit 0
          ''
        ];
      }
    );
}
