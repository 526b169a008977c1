# What stands in for the flake of nixpkgs where the manual chapter's commands are tried (tests/nixos/manual.sh): its lib
# and its packages as far as the chapter needs them, and a nixosSystem that is a Debian.
{
  outputs =
    { self }:
    let
      here = builtins.fromJSON (builtins.readFile ./here.json);
      lib = import ./lib.nix;
      pkgs = import ./packages.nix { inherit lib here; };
    in
    {
      lib = lib // {
        nixosSystem =
          { system, modules }:
          lib.evalModules {
            modules = [
              ./options.nix
              ./nixos.nix
            ]
            ++ modules;
            specialArgs = {
              inherit pkgs here;
              utils = throw "the stand-in has no systemd in its initramfs";
            };
          };
      };
      legacyPackages.x86_64-linux = pkgs;
    };
}
