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
