# A service of systemd.services, or of boot.initrd.systemd.services, as the text of its unit.
{ lib }:
rec {
  words =
    value:
    lib.concatStringsSep " " (
      if builtins.isList value then map toString value else [ (toString value) ]
    );
  line =
    key: value:
    if builtins.isBool value then
      "${key}=${if value then "yes" else "no"}\n"
    else
      "${key}=${words value}\n";
  lines = set: lib.concatStrings (lib.mapAttrsToList line set);
  # The settings that NixOS has options of its own for, by their names in systemd.
  named = {
    description = "Description";
    documentation = "Documentation";
    before = "Before";
    after = "After";
    wants = "Wants";
    requires = "Requires";
    conflicts = "Conflicts";
  };
  variables =
    service:
    (service.environment or { })
    // lib.optionalAttrs (service ? path) { PATH = lib.makeBinPath service.path; };
  unit =
    service:
    "[Unit]\n"
    + lib.concatStrings (
      lib.mapAttrsToList (from: to: if service ? ${from} then line to service.${from} else "") named
    )
    + lines (service.unitConfig or { })
    + "[Service]\n"
    + lib.concatStrings (
      lib.mapAttrsToList (name: value: "Environment=\"${name}=${value}\"\n") (variables service)
    )
    + lines (service.serviceConfig or { });
}
