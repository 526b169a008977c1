# The two programs as a Nix package, built by the project's own Makefile.
#
#   pkgs.callPackage ./nixos-module/package.nix { }
{
  lib,
  stdenv,
  pkg-config,
  makeWrapper,
  cmocka,
  cryptsetup,
  inih,
  json_c,
  kmod,
  openssl,
  sqlite,
  util-linux,
  zstd,
  erofs-utils,
  squashfsTools,
}:

stdenv.mkDerivation {
  pname = "underlay";
  version = "0.1.0";

  # Without build results and without the Nix files themselves: editing the module rebuilds nothing.
  src = lib.cleanSourceWith {
    src = lib.cleanSource ../.;
    filter =
      path: _type:
      let
        name = baseNameOf path;
      in
      !(lib.hasPrefix "build" name || name == "nixos-module" || name == "result");
  };

  nativeBuildInputs = [
    pkg-config
    makeWrapper
  ];

  buildInputs = [
    cryptsetup
    inih
    json_c
    kmod
    openssl
    sqlite
    util-linux
    zstd
  ];

  enableParallelBuilding = true;

  checkInputs = [ cmocka ];
  doCheck = true;
  checkTarget = "check-unit";

  installFlags = [ "PREFIX=${placeholder "out"}" ];

  # The programs that image and initramfs are made with.
  postInstall = ''
    wrapProgram $out/bin/underlay \
      --prefix PATH : ${
        lib.makeBinPath [
          erofs-utils
          squashfsTools
          kmod
        ]
      }
  '';

  meta = {
    description = "Boot machines from sealed Nix stores";
    license = lib.licenses.mit;
    platforms = lib.platforms.linux;
    mainProgram = "underlay";
  };
}
