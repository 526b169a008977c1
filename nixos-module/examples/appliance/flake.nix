{
  description = "An appliance: a signed image of its whole store, a writable layer in memory";

  inputs.underlay.url = "git+https://example.org/underlay?dir=nixos-module";

  outputs = { self, underlay }: underlay.lib.machine { modules = [ ./configuration.nix ]; };
}
