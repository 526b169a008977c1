{
  description = "An appliance: a signed image of its whole store, a writable layer in memory";

  inputs.underlay.url = "git+https://example.org/underlay?dir=nixos-module";

  outputs =
    { self, underlay }:
    let
      inherit (underlay.inputs) nixpkgs;
      machine = nixpkgs.lib.nixosSystem {
        system = "x86_64-linux";
        modules = [
          underlay.nixosModules.default
          ./configuration.nix
        ];
      };
    in
    {
      nixosConfigurations.thermostat = machine;
      packages.x86_64-linux = {
        image = machine.config.system.build.underlayImage;
        initrd = machine.config.system.build.underlayInitrd;
        uki = machine.config.system.build.underlayUki;
        sign = machine.config.system.build.underlaySign;
        underlay = machine.config.boot.underlay.package;
      };
    };
}
