{
  description = "A developer's device: a writable layer that survives, systems built on the device";

  inputs.underlay.url = "git+https://example.org/underlay?dir=nixos-module";

  outputs = { self, underlay }: underlay.lib.machine { modules = [ ./configuration.nix ]; };
}
