{
  description = "Virtual machines that share one image, each with a layer of its own";

  inputs.underlay.url = "git+https://example.org/underlay?dir=nixos-module";

  outputs = { self, underlay }: underlay.lib.machine { modules = [ ./configuration.nix ]; };
}
