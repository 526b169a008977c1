# Everything that the device writes is gone at its next start, and nothing but images signed by the holder of seal.key
# is ever started. A block of the disk that goes bad is mended as long as its neighbours are good.
{ pkgs, ... }:
{
  networking.hostName = "thermostat";
  system.stateVersion = "25.05";
  boot.kernelParams = [ "console=ttyS0" ];

  boot.underlay = {
    enable = true;
    store = {
      version = "1.0";
      certificates = [ ./seal.crt ];
      fec = 2;
    };
    verify.corruption = "restart";
    upper.size = "512M";
  };

  environment.systemPackages = [ pkgs.htop ];
  users.users.root.initialHashedPassword = "";
  services.getty.autologinUser = "root";
}
