# The packages that the manual chapter's commands need, as a stand-in for nixpkgs' own: Underlay by its real package.nix
# (from what `make` built: nothing is compiled again), all else as it lies in the host's /usr or in a Debian tree.
{ lib, here }:
let
  base = import ./build-pkgs.nix { };
  inherit (base) runCommand;

  # Names that package.nix, and so `callPackage`, asks for: what they have is in the host's /usr.
  host = lib.genAttrs [
    "btrfs-progs"
    "cmocka"
    "cryptsetup"
    "e2fsprogs"
    "erofs-utils"
    "f2fs-tools"
    "inih"
    "jq"
    "json_c"
    "kmod"
    "lvm2"
    "makeWrapper"
    "openssl"
    "pkg-config"
    "sbsigntool"
    "sqlite"
    "squashfsTools"
    "systemd"
    "util-linux"
    "xfsprogs"
    "xz"
    "zstd"
  ] (_: "/usr");

  packages =
    base
    // host
    // {
      inherit lib;
      path = ./.;
      stdenv = {
        inherit (packages.busybox) type outPath;
        cc.libc.static = "/usr";
        hostPlatform = {
          isGnu = true;
          efiArch = "x64";
          uname.processor = "x86_64";
        };
        # Its phases are `make install` and what the package says comes after; the tests that it asks for are run by
        # `make test`.
        mkDerivation =
          package:
          runCommand "${package.pname}-${package.version}"
            {
              inherit (package)
                src
                installFlags
                postInstall
                ;
              passthru = { inherit (package) pname version meta; };
            }
            ''
              wrapProgram() { # FILE --prefix PATH : FOLDERS
                mv "$1" "''${1%/*}/.''${1##*/}-wrapped"
                printf '#!/bin/bash\nexport PATH="%s''${PATH:+:$PATH}"\nexec "%s" "$@"\n' "$5" \
                  "''${1%/*}/.''${1##*/}-wrapped" >"$1"
                chmod +x "$1"
              }
              cd $src
              make install BUILD=${here.build} $installFlags
              eval "$postInstall"
            '';
      };
      callPackage =
        file: arguments:
        let
          function = import file;
        in
        function (builtins.intersectAttrs (builtins.functionArgs function) packages // arguments);

      writeShellScriptBin =
        name: script:
        runCommand name
          {
            inherit script;
            passAsFile = [ "script" ];
            passthru.meta.mainProgram = name;
          }
          ''
            mkdir -p $out/bin
            { echo '#!/bin/bash' && cat $scriptPath; } >$out/bin/${name}
            chmod +x $out/bin/${name}
          '';

      # For the evaluation: a package's name and nothing else.
      package = name: version: {
        type = "derivation";
        inherit name version;
        outPath = "/nothing/${name}-${version}";
      };
      busybox = runCommand "busybox" { } ''
        mkdir -p $out/bin
        cp ${here.system}/usr/bin/busybox $out/bin/
        ln -s busybox $out/bin/sh
      '';
      htop = runCommand "htop" { } ''
        mkdir -p $out/bin
        ln -s /usr/bin/top $out/bin/htop
      '';
    };
in
packages
