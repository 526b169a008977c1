# The options of NixOS that nixos-module/ reads or sets, declared as far as it needs them.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  option = type: default: mkOption { inherit type default; };
in
{
  options = {
    assertions = option (types.listOf types.anything) [ ];
    warnings = option (types.listOf types.str) [ ];
    services.getty.autologinUser = option (types.nullOr types.str) null;
    users.users = option (types.attrsOf types.anything) { };
    networking.hostName = option types.str "nixos";
    fileSystems = option (types.attrsOf types.anything) { };
    environment.systemPackages = option (types.listOf types.package) [ ];
    nix = {
      package = option types.package (pkgs.package "nix" "2.26.3");
      settings = option (types.attrsOf types.anything) { };
      gc = {
        automatic = option types.bool false;
        options = option types.str "";
      };
      optimise.automatic = option types.bool false;
    };
    systemd.services = option (types.attrsOf types.anything) { };
    boot = {
      loader.grub.enable = option types.bool true;
      kernelParams = option (types.listOf types.str) [
        "console=ttyS0"
        "loglevel=4"
      ];
      kernelPackages = option types.raw {
        kernel = pkgs.package "linux" "6.12.1" // {
          modDirVersion = "6.12.1";
        };
      };
      initrd = {
        enable = option types.bool true;
        availableKernelModules = option (types.listOf types.str) [ ];
        systemd = {
          enable = option types.bool false;
          storePaths = option (types.listOf types.anything) [ ];
          contents = option (types.attrsOf types.anything) { };
          services = option (types.attrsOf types.anything) { };
          units = option (types.attrsOf types.anything) { };
        };
      };
    };
    system = {
      stateVersion = option types.str "25.05";
      nixos.version = option types.str "25.05";
      modulesTree = option types.package (pkgs.package "modules" "6.12.1");
      boot.loader.kernelFile = option types.str "bzImage";
      build = option (types.lazyAttrsOf types.raw) { };
    };
  };
  config = {
    boot.initrd.systemd.services.initrd-find-nixos-closure.requiredBy = [ "initrd.target" ];
    system.build = {
      # The system links its initramfs, so what that one is made of must not be the system.
      toplevel = lib.mkDefault (
        pkgs.package "nixos-system" "25.05"
        // {
          outPath = builtins.deepSeq (config.system.build.initialRamdisk.variables or { }) (
            pkgs.package "nixos-system" "25.05"
          ).outPath;
        }
      );
      etc = lib.mkDefault (pkgs.package "etc" "1");
      initialRamdisk = lib.mkDefault (pkgs.package "initrd" "1");
    };
  };
}
