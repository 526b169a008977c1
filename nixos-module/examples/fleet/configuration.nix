# Many virtual machines over one image: give each QEMU the same file, read-only, and a small disk of its own.
#
#   qemu-system-x86_64 -accel kvm -m 2G -kernel fleet.efi \
#     -drive if=virtio,format=raw,readonly=on,file=fleet_1.0.raw -drive if=virtio,format=raw,file=machine-17.img
{ ... }:
{
  networking.hostName = "fleet";
  system.stateVersion = "25.05";
  boot.kernelParams = [ "console=ttyS0" ];

  boot.underlay = {
    enable = true;
    store = {
      version = "1.0";
      certificates = [ ./seal.crt ];
    };
    # The host's page cache holds the image once; with the database attached, no machine copies a byte of it.
    database.mode = "attach";
    upper = {
      type = "disk";
      device = "LABEL=machine";
      prepare = true;
    };
    failure.action = "poweroff";
  };
  users.users.root.initialHashedPassword = "";
}
