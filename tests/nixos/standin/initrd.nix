# What the module puts into systemd's initramfs, for tests/nixos/initrd.sh: the policy, and the units by their file
# names.
let
  lib = import ./lib.nix;
  pkgs = import ./pkgs.nix { inherit lib; };
  inherit (import ./unit.nix { inherit lib; }) unit;
  inherit
    (lib.evalModules {
      modules = [
        ../../../nixos-module
        ./options.nix
        {
          boot.initrd.systemd.enable = true;
          boot.underlay = {
            enable = true;
            store.name = "debian";
            store.certificates = [ ../seal.crt ];
            upper = {
              type = "disk";
              device = "LABEL=upper";
            };
          };
        }
      ];
      specialArgs = {
        inherit pkgs;
        # As much of it as the device's path asks for.
        utils.escapeSystemdPath =
          path: builtins.replaceStrings [ "-" "/" ] [ "\\x2d" "-" ] (lib.removePrefix "/" path);
      };
    })
    config
    ;
  inherit (config.boot.initrd) systemd;
  # The rest of the unit is NixOS' own.
  closure = systemd.services.initrd-find-nixos-closure // {
    before = [
      "initrd.target"
      "shutdown.target"
    ];
    conflicts = [ "shutdown.target" ];
    unitConfig = {
      DefaultDependencies = false;
      RequiresMountsFor = "/sysroot/nix/store";
    };
    serviceConfig = {
      Type = "oneshot";
      RemainAfterExit = true;
      ExecStart = "/usr/lib/find-nixos-closure";
    };
  };
in
{
  policy = systemd.contents."/etc/underlay/underlay.conf".text;
  units = {
    "underlay.service" = unit systemd.services.underlay;
    "initrd-find-nixos-closure.service" = unit closure;
  };
  # What is put into UNIT.d, and the other files.
  dropins = builtins.mapAttrs (_: unit: unit.text) (
    lib.filterAttrs (_: unit: unit.overrideStrategy == "asDropin") systemd.units
  );
  files = builtins.mapAttrs (_: file: file.text) (
    lib.filterAttrs (name: _: lib.hasPrefix "/etc/systemd/" name) systemd.contents
  );
  inherit (closure) script;
  inherit (pkgs) e2fsprogs;
  package = config.boot.underlay.package.outPath;
  required = {
    "underlay.service" = systemd.services.underlay.requiredBy;
    "initrd-find-nixos-closure.service" = closure.requiredBy;
  };
}
