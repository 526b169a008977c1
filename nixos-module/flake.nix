{
  description = "Boot machines from sealed Nix stores";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forAll = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
    in
    {
      nixosModules.default = ./default.nix;

      # The outputs of a flake that is one machine: its system, and all that is made of it.
      lib.machine =
        {
          modules,
          system ? "x86_64-linux",
        }:
        let
          machine = nixpkgs.lib.nixosSystem {
            inherit system;
            modules = [ self.nixosModules.default ] ++ modules;
          };
          inherit (machine) config;
        in
        {
          nixosConfigurations.${config.networking.hostName} = machine;
          packages.${system} = {
            image = config.system.build.underlayImage;
            initrd = config.system.build.underlayInitrd;
            uki = config.system.build.underlayUki;
            sign = config.system.build.underlaySign;
            underlay = config.boot.underlay.package;
          };
        };

      overlays.default = final: _previous: {
        underlay = final.callPackage ./package.nix { };
      };

      packages = forAll (pkgs: {
        default = pkgs.callPackage ./package.nix { };
      });

      checks = forAll (pkgs: {
        boot = pkgs.testers.runNixOSTest ./tests/boot.nix;
      });

      templates = {
        appliance = {
          path = ./examples/appliance;
          description = "an appliance: a signed image, a writable layer in memory";
        };
        device = {
          path = ./examples/device;
          description = "a developer's device: a writable layer that survives, systems built on the device";
        };
        fleet = {
          path = ./examples/fleet;
          description = "virtual machines that share one image, each with a layer of its own";
        };
        default = self.templates.appliance;
      };
    };
}
