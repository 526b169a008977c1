# As much of nixpkgs as nixos-module/'s commands ask for, in derivations that really build: the host's shell and tools
# are shown to the sandbox by the test.
{
  # A folder of programs that come after those of the derivation, such as what `make` built.
  underlay ? "/usr/bin",
}:
{
  stdenv.hostPlatform.uname.processor = "x86_64";
  jq = "/usr";
  runCommand =
    name: variables: script:
    let
      structured = variables.__structuredAttrs or false;
      programs = builtins.concatStringsSep "" (map (p: "${p}/bin:") (variables.nativeBuildInputs or [ ]));
      # What nixpkgs' stdenv does before a script that has structured attributes.
      prepare = ''
        . "$NIX_BUILD_TOP/.attrs.sh"
        export NIX_ATTRS_JSON_FILE=$NIX_BUILD_TOP/.attrs.json out=''${outputs[out]}
      '';
    in
    derivation (
      removeAttrs variables [
        "nativeBuildInputs"
        "passthru"
      ]
      // {
        inherit name;
        system = "x86_64-linux";
        builder = "/bin/bash";
        args = [
          "-euc"
          ''
            ${if structured then prepare else ""}
            export PATH=${programs}${underlay}:/usr/sbin:/usr/bin:/sbin:/bin
            ${script}
            exit 0
          ''
        ];
      }
    )
    // (variables.passthru or { });
}
