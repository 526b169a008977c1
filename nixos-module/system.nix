# What the running system needs to know of the sealed store.
{
  config,
  lib,
  ...
}:
let
  cfg = config.boot.underlay;
  nixVersion = lib.getVersion config.nix.package;
  canAttach = lib.versionAtLeast nixVersion "2.22" && cfg.store.attachable;
  attaches = cfg.database.mode == "attach" || (cfg.database.mode == "auto" && canAttach);
in
{
  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];

    # The daemon opens the store as the boot left it; the boot writes the URL, the experimental features and the
    # remount hook into this file. NIX_CONFIG wins over nix.conf, and reaches the daemon alone.
    systemd.services.nix-daemon.environment.NIX_CONFIG = "!include /run/underlay/nix.conf";

    # Stopped after the daemon: what it writes is written then.
    systemd.services.underlay-mark-clean = {
      description = "Mark the writable layer clean at shutdown";
      documentation = [ "man:underlay(1)" ];
      wantedBy = [ "multi-user.target" ];
      before = [ "nix-daemon.service" ];
      unitConfig.RequiresMountsFor = [ "/nix/.rw" ];
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStop = "${cfg.package}/bin/underlay mark-clean";
      };
    };

    # The image came up: its trial ends. What has to work for that orders itself before boot-complete.target.
    systemd.services.underlay-mark-good = {
      description = "Mark the booted image as good";
      documentation = [ "man:underlay-slots(1)" ];
      wantedBy = [ "multi-user.target" ];
      after = [
        "boot-complete.target"
        "multi-user.target"
      ];
      unitConfig.ConditionPathExists = "/run/underlay/state.json";
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "${cfg.package}/bin/underlay mark-good";
      };
    };

    # Nix's own would read every sealed path, and give no space back of what earlier boots left.
    systemd.services.nix-gc = lib.mkIf config.nix.gc.automatic {
      script = lib.mkForce (
        (
          if cfg.gc.deleteOlderThan == null then
            ""
          else
            ''
              find /nix/var/nix/profiles -type l ! -name '*-link' -exec \
                ${config.nix.package}/bin/nix-env --profile {} --delete-generations ${cfg.gc.deleteOlderThan} \;
            ''
        )
        + "exec ${cfg.package}/bin/underlay gc ${toString cfg.gc.options}\n"
      );
    };

    # All others ask the daemon: who opened /nix/var/nix/db himself would see the upper's paths only.
    nix.settings.store = lib.mkIf attaches (lib.mkDefault "daemon");
    nix.settings.extra-experimental-features = lib.mkIf attaches [
      "local-overlay-store"
      "read-only-local-store"
    ];

    # Every store path has its place in one of the two layers: hard links between them are not possible, and a
    # link farm in the upper would only cost room.
    nix.settings.auto-optimise-store = lib.mkDefault false;

    assertions = [
      {
        assertion = (cfg.stage1 == "systemd") == config.boot.initrd.systemd.enable;
        message =
          if cfg.stage1 == "systemd" then
            "boot.underlay.stage1 is \"systemd\", but there is no systemd in the initramfs: set boot.initrd.systemd.enable = true, or stage1 = \"underlay\"."
          else
            "boot.underlay.stage1 is \"underlay\", which takes the place of NixOS' own initramfs: set boot.initrd.systemd.enable = false, or stage1 = \"systemd\".";
      }
      {
        # Without it in the initramfs, ours of that name would be started by nobody, and the machine without `init=`
        # neither.
        assertion =
          cfg.stage1 == "systemd" && config.boot.initrd.systemd.enable
          -> config.boot.initrd.systemd.services.initrd-find-nixos-closure.requiredBy != [ ];
        message = "boot.underlay.stage1 is \"systemd\", but the initramfs of this nixpkgs has no initrd-find-nixos-closure.service: take a newer nixpkgs, or set stage1 = \"underlay\".";
      }
      {
        assertion =
          lib.elem cfg.verify.mode [
            "user"
            "both"
          ]
          -> cfg.store.certificates != [ ];
        message = "boot.underlay.verify.mode is \"${cfg.verify.mode}\", but no certificate is trusted: name one in boot.underlay.store.certificates, or set verify.mode = \"pinned\".";
      }
      {
        # Every path is in the one database there, so Nix makes hard links of sealed files, which copies each of them.
        assertion = config.nix.optimise.automatic -> attaches;
        message = "nix.optimise.automatic would copy the whole image into the writable layer where the database is rebuilt: set it to false, or boot.underlay.database.mode = \"attach\".";
      }
      {
        assertion = cfg.verify.mode == "pinned" -> cfg.verify.rollbackMin == 0;
        message = "boot.underlay.verify.rollbackMin is a demand on signed images, and verify.mode is \"pinned\": remove it, the root hash alone decides.";
      }
      {
        assertion = (cfg.verify.mode == "insecure") == (cfg.lower.share != null);
        message =
          if cfg.lower.share != null then
            "boot.underlay.lower.share is verified by nobody, but verify.mode is \"${cfg.verify.mode}\": set verify.mode = \"insecure\", for development only, or remove lower.share."
          else
            "boot.underlay.verify.mode is \"insecure\", but no shared directory is named: set boot.underlay.lower.share, or another verify.mode.";
      }
      {
        assertion = cfg.lower.share != null -> cfg.stage1 == "underlay";
        message = "boot.underlay.lower.share needs an initramfs that is no part of the system which it names: set boot.underlay.stage1 = \"underlay\" and boot.initrd.systemd.enable = false.";
      }
      {
        assertion =
          cfg.verify.mode == "insecure"
          -> cfg.verify.rootHash == null && cfg.verify.rollbackMin == 0 && cfg.verify.corruption == "eio";
        message = "boot.underlay.verify.rootHash, rollbackMin and corruption hold nothing while verify.mode is \"insecure\": remove them, or set another mode.";
      }
      {
        assertion = cfg.verify.mode == "insecure" -> cfg.secureBoot.key == null;
        message = "boot.underlay.secureBoot.key would sign a kernel that verifies nothing, for every machine that trusts the key: remove it, or set another verify.mode.";
      }
      {
        assertion = cfg.upper.type == "disk" -> cfg.upper.device != null;
        message = "boot.underlay.upper.type is \"disk\", but no disk is named: set boot.underlay.upper.device, for example to \"PARTLABEL=upper\".";
      }
      {
        assertion = cfg.upper.type == "tmpfs" -> cfg.upper.device == null && !cfg.upper.prepare;
        message = "boot.underlay.upper.device and upper.prepare are for a persistent upper: set boot.underlay.upper.type = \"disk\", or remove them.";
      }
      {
        assertion = cfg.system.from == "profile" -> cfg.upper.type == "disk";
        message = "boot.underlay.system.from is \"profile\", but a profile in a tmpfs is gone after a restart: set boot.underlay.upper.type = \"disk\".";
      }
      {
        assertion = cfg.database.mode == "attach" -> lib.versionAtLeast nixVersion "2.22";
        message = "boot.underlay.database.mode is \"attach\", which needs Nix 2.22 or later, and nix.package is ${nixVersion}: set database.mode = \"rebuild\", or a newer nix.package.";
      }
      {
        assertion = cfg.database.mode == "attach" -> cfg.store.attachable;
        message = "boot.underlay.database.mode is \"attach\", but the image carries no database: set boot.underlay.store.attachable = true, or database.mode = \"rebuild\".";
      }
      {
        assertion = (cfg.store.signing.key == null) == (cfg.store.signing.certificate == null);
        message = "boot.underlay.store.signing needs both key and certificate, or neither: then sign with system.build.underlaySign.";
      }
      {
        assertion = (cfg.secureBoot.key == null) == (cfg.secureBoot.certificate == null);
        message = "boot.underlay.secureBoot needs both key and certificate, or neither.";
      }
    ]
    ++ map
      (option: {
        assertion = option.value == null || !lib.hasPrefix builtins.storeDir option.value;
        message = "${option.name} lies in the Nix store, where everybody can read it: keep the key outside, and show it to the sandbox by nix.settings.extra-sandbox-paths.";
      })
      [
        {
          name = "boot.underlay.store.signing.key";
          value = cfg.store.signing.key;
        }
        {
          name = "boot.underlay.secureBoot.key";
          value = cfg.secureBoot.key;
        }
      ];

    warnings =
      lib.optional (config.nix.gc.automatic && config.nix.gc.options != "") (
        "nix.gc.options are for nix-collect-garbage, and this machine's nix.gc runs `underlay gc`: set boot.underlay.gc.options, and boot.underlay.gc.deleteOlderThan for old generations."
      )
      ++
      lib.optional (cfg.verify.mode == "insecure") (
        "boot.underlay.verify.mode is \"insecure\": nothing of this system is verified when it starts. Keep it to development."
      )
      ++ lib.optional (cfg.stage1 == "systemd" && config.fileSystems."/".fsType != "tmpfs") (
        "fileSystems.\"/\" is no tmpfs: the root is unsealed, and whoever can write it decides, by its /etc, what the sealed system does. Keep what shall stay below the root, or guard that disk like the machine."
      )
      ++ lib.optional (cfg.stage1 == "systemd" && cfg.failure.action == "shell") (
      "boot.underlay.failure.action has no effect in systemd's initramfs: boot.initrd.systemd.emergencyAccess decides who gets a shell."
    );
  };
}
