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
  lvm2,
  openssl,
  sqlite,
  util-linux,
  xz,
  zstd,
  btrfs-progs,
  e2fsprogs,
  erofs-utils,
  f2fs-tools,
  sbsigntool,
  squashfsTools,
  xfsprogs,
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
    lvm2 # libdevmapper
    openssl
    sqlite
    util-linux # libblkid, libmount, libfdisk
    xz
    zstd
  ]
  # underlay-shutdown is static.
  ++ lib.optional stdenv.hostPlatform.isGnu stdenv.cc.libc.static;

  # The Makefile sets it, and another value of it beside that is an error.
  hardeningDisable = [
    "fortify"
    "fortify3"
  ];

  enableParallelBuilding = true;

  nativeCheckInputs = [ cmocka ];
  doCheck = true;
  checkTarget = "check-unit";

  installFlags = [ "PREFIX=${placeholder "out"}" ];

  # The programs that image, initramfs and UKI are made with, or that the initramfs is to have.
  postInstall = ''
    wrapProgram $out/bin/underlay \
      --prefix PATH : ${
        lib.makeBinPath [
          btrfs-progs
          e2fsprogs
          erofs-utils
          f2fs-tools
          kmod
          sbsigntool
          squashfsTools
          xfsprogs
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
