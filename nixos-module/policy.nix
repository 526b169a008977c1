# The policy of the initramfs, underlay.conf(5), from the options: an attribute set of sections, and its text.
{
  lib,
  cfg,
  nixVersion,
  # In systemd's initramfs: what NixOS says of the root.
  root ? { },
  # For a shared directory, which names no system: the system's path, and the registration of its closure.
  shared ? { },
}:
let
  # null: left to underlay-init's default.
  set = name: value: lib.optionalAttrs (value != null) { ${name} = value; };
  disk = cfg.upper.type == "disk";

  # In percent of the memory: left to underlay-init's default, which is that of every tmpfs.
  rootSizes = builtins.concatMap (
    option:
    let
      size = builtins.match "size=([0-9]+)([kKmMgG]?)" option;
    in
    lib.optional (size != null) (
      lib.head size + builtins.replaceStrings [ "k" "m" "g" ] [ "K" "M" "G" ] (lib.last size)
    )
  ) (root.options or [ ]);

  fromOptions = {
    verify = {
      inherit (cfg.verify) mode corruption;
      rollback-min = cfg.verify.rollbackMin;
    }
    // set "root-hash" cfg.verify.rootHash;
    # Nothing vouches for the name of a shared directory.
    image = lib.optionalAttrs (cfg.lower.share == null) { inherit (cfg.store) name; };
    lower = set "share" cfg.lower.share // lib.optionalAttrs (shared ? registration) {
      inherit (shared) registration;
    };
    # A tmpfs is the policy's own, in the place of NixOS'. What else the configuration wants for a root is mounted by
    # NixOS, and unsealed.
    root =
      if root.fsType or "tmpfs" == "tmpfs" then
        lib.optionalAttrs (rootSizes != [ ]) { size = lib.last rootSizes; }
      else
        { from = "mounted"; };
    upper = {
      inherit (cfg.upper) type;
    }
    // set "size" cfg.upper.size
    // lib.optionalAttrs disk {
      inherit (cfg.upper) device filesystem;
      prepare = if cfg.upper.prepare then "format" else "no";
      on-missing = cfg.upper.onMissing;
    };
    # Nix's version decides mode auto, and nothing else.
    database = {
      inherit (cfg.database) mode;
    }
    // lib.optionalAttrs (cfg.database.mode == "auto") { nix-version = nixVersion; };
    system = {
      inherit (cfg.system) from;
    }
    // lib.optionalAttrs (shared ? system) { path = shared.system; };
    failure = { inherit (cfg.failure) action delay; };
    # udev loads the drivers in systemd's initramfs.
    modules = lib.optionalAttrs (cfg.stage1 == "systemd") { coldplug = false; };
    # With no hash in the policy, the UKI's signed command line is what pins the image.
    cmdline = lib.optionalAttrs (cfg.verify.mode == "pinned" && cfg.verify.rootHash == null) {
      allow = [ "usrhash" ];
    };
  };

  sections = lib.mapAttrs (name: section: section // (cfg.settings.${name} or { })) (
    lib.mapAttrs (_: _: { }) cfg.settings // fromOptions
  );

  word =
    value:
    if value == true then
      "yes"
    else if value == false then
      "no"
    else
      toString value;
  line =
    key: value:
    if builtins.isList value then
      lib.concatStrings (map (one: "${key} = ${one}\n") value)
    else
      "${key} = ${word value}\n";
in
{
  inherit sections;
  text = lib.concatStringsSep "\n" (
    lib.mapAttrsToList (
      name: section: "[${name}]\n" + lib.concatStrings (lib.mapAttrsToList line section)
    ) (lib.filterAttrs (_: section: section != { }) sections)
  );
}
