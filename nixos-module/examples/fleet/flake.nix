{
  description = "Virtual machines that share one image, each with a layer of its own";

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
      nixosConfigurations.fleet = machine;
      packages.x86_64-linux = {
        image = machine.config.system.build.underlayImage;
        initrd = machine.config.system.build.underlayInitrd;
        uki = machine.config.system.build.underlayUki;
        sign = machine.config.system.build.underlaySign;
        underlay = machine.config.boot.underlay.package;
      };
    };
}
