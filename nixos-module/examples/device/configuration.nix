# A developer's device. What is built on it, and the systems that `nixos-rebuild boot` makes there, lie on the partition
# "upper" and outlive restarts and new images. That partition is not signed: who can write it while the device is off
# can choose what is started from it (SECURITY.md has the whole of it), so encrypt it or keep the device at home.
{ pkgs, ... }:
{
  networking.hostName = "bench";
  system.stateVersion = "25.05";
  boot.kernelParams = [ "console=ttyS0" ];
  boot.initrd.systemd.enable = true;
  # The drivers of the disk: here QEMU's. For your own machine nixos-generate-config tells them.
  boot.initrd.availableKernelModules = [
    "virtio_pci"
    "virtio_blk"
  ];

  boot.underlay = {
    enable = true;
    store = {
      version = "1.0";
      certificates = [ ./seal.crt ];
      # So that the device can evaluate and build without a network.
      closureRoots = [
        pkgs.stdenv
        "${pkgs.path}" # as text: a flake may not turn a path into a package
      ];
    };
    upper = {
      type = "disk";
      device = "PARTLABEL=upper";
      prepare = true;
      onMissing = "tmpfs";
    };
    system.from = "profile";
  };

  nix.settings.experimental-features = [
    "nix-command"
    "flakes"
  ];
  users.users.root.initialHashedPassword = "";
}
