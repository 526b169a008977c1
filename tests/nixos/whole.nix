# The example configurations as whole NixOS systems, with every module that the nixpkgs in NIXPKGS has: options have the
# names and types that the module thinks, no two definitions are at odds, and NixOS' own assertions hold.
{ nixpkgs }:
let
  lib = import (nixpkgs + "/lib");
  examples = [
    "appliance"
    "device"
    "fleet"
  ];
  # A virtual machine over its host's store, whose initramfs names the system that links an initramfs.
  shared = {
    networking.hostName = "dev";
    system.stateVersion = "25.05";
    boot.underlay = {
      enable = true;
      verify.mode = "insecure";
      lower.share = "9p:nix-store";
    };
  };
  evaluate =
    configuration:
    (import (nixpkgs + "/nixos/lib/eval-config.nix") {
      inherit lib;
      system = null;
      modules = [
        ../../nixos-module
        configuration
        {
          nixpkgs.hostPlatform = "x86_64-linux";
          documentation.enable = false; # the manual of all options takes minutes
          # The example's own is made by its user.
          boot.underlay.store.certificates = lib.mkForce [ ./seal.crt ];
        }
      ];
    }).config;
  result =
    configuration:
    let
      config = evaluate configuration;
      inherit (config.system) build;
      initrd = config.boot.initrd.systemd;
    in
    {
      failed = map (a: a.message) (lib.filter (a: !a.assertion) config.assertions);
      inherit (config) warnings;
      # What is built: all of the system is evaluated for it.
      derivations = map (d: d.drvPath) [
        build.toplevel
        build.underlayImage
        build.underlayInitrd
        build.underlayUki
        build.underlaySign
      ];
      inherit (config.boot.initrd) availableKernelModules;
      root = {
        inherit (config.fileSystems."/") device fsType options;
      };
      daemon = config.systemd.units."nix-daemon.service".text;
      markClean = config.systemd.units."underlay-mark-clean.service".text;
      initrd =
        if initrd.enable then
          {
            unit = initrd.units."underlay.service".text;
            closure = initrd.units."initrd-find-nixos-closure.service".text;
            script = initrd.services.initrd-find-nixos-closure.script;
          }
        else
          null;
    };
in
lib.genAttrs examples (
  name: result (../../nixos-module/examples + "/${name}/configuration.nix")
)
// {
  shared = result shared;
  # Its two machines are whole systems, too.
  vmTest =
    (import ../../nixos-module/tests/boot.nix {
      inherit lib;
      pkgs = import nixpkgs { system = "x86_64-linux"; };
    }).testScript;
}
