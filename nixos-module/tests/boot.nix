# A NixOS VM test, in the style of nixpkgs: `nix build .#checks.x86_64-linux.boot`. Two machines boot the same signed
# image, one through systemd's initramfs and one with underlay-init as /init; Nix inside builds into the upper.
{ lib, pkgs, ... }:
let
  # For this test only: a key that everybody can read seals nothing.
  keys = pkgs.runCommand "test-keys" { nativeBuildInputs = [ pkgs.openssl ]; } ''
    mkdir $out
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=test" -keyout $out/seal.key -out $out/seal.crt
  '';
  configuration =
    { config, modulesPath, ... }:
    {
      imports = [
        ../default.nix
        (modulesPath + "/testing/test-instrumentation.nix")
        (modulesPath + "/profiles/qemu-guest.nix") # the driver of the disk, for systemd's initramfs
      ];
      boot.underlay = {
        enable = true;
        store = {
          name = "test";
          version = "1";
          certificates = [ "${keys}/seal.crt" ];
        };
        failure.action = "poweroff";
      };
      nix.settings.experimental-features = [ "nix-command" ];
      documentation.enable = false;
      system.stateVersion = lib.trivial.release;
    };
  machine =
    initrd:
    (import (pkgs.path + "/nixos/lib/eval-config.nix") {
      inherit lib;
      system = null;
      modules = [
        configuration
        {
          nixpkgs.pkgs = pkgs;
          boot.initrd.systemd.enable = initrd == "systemd";
        }
      ];
    }).config;
  signed =
    config:
    pkgs.runCommand "signed" { } ''
      ${lib.getExe config.system.build.underlaySign} ${keys}/seal.key ${keys}/seal.crt $out
    '';
  start =
    config:
    lib.concatStringsSep " " [
      "${pkgs.qemu_test}/bin/qemu-kvm -m 1024"
      "-kernel ${config.boot.kernelPackages.kernel}/${config.system.boot.loader.kernelFile}"
      "-initrd ${config.system.build.underlayInitrd}/initrd"
      "-append 'console=ttyS0 panic=-1 ${toString config.boot.kernelParams}'"
      "-drive if=virtio,format=raw,readonly=on,file=${signed config}"
    ];
in
{
  name = "underlay-boot";
  nodes = { };
  testScript = ''
    for name, command in [
        ("systemd", "${start (machine "systemd")}"),
        ("underlay", "${start (machine "underlay")}"),
    ]:
        machine = create_machine(command, name=name)
        machine.wait_for_unit("multi-user.target")
        machine.succeed("underlay status")
        machine.succeed("nix-store --verify --check-contents")
        path = machine.succeed("nix-store --add /etc/os-release").strip()
        machine.succeed(f"nix-store --check-validity {path}")
        machine.succeed("nix-collect-garbage")
        machine.succeed("readlink -e /run/current-system/init")
        machine.shutdown()
  '';
}
