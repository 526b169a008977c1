# NixOS module: one option, boot.underlay.enable, turns a configuration into a signed, immutable image of its Nix
# store and boots it. See README.md beside this file.
{
  imports = [
    ./options.nix
    ./stage-1.nix
    ./system.nix
    ./outputs.nix
  ];
}
