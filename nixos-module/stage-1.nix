# How the machine starts: as a service in systemd's initramfs, or with underlay-init as /init.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:
let
  cfg = config.boot.underlay;
  policy = import ./policy.nix {
    inherit lib cfg;
    nixVersion = lib.getVersion config.nix.package;
    root = config.fileSystems."/";
  };
  # The device units that are waited for: what has a name before the machine starts. An image's partition has its
  # version in its label, so underlay-init itself waits for that one, by the kernel's uevents.
  byName = {
    PARTLABEL = "/dev/disk/by-partlabel/";
    PARTUUID = "/dev/disk/by-partuuid/";
    LABEL = "/dev/disk/by-label/";
    UUID = "/dev/disk/by-uuid/";
  };
  deviceUnit =
    text:
    let
      parts = builtins.match "(PARTLABEL|PARTUUID|LABEL|UUID)=(.*)" text;
      path = if parts == null then text else byName.${lib.head parts} + lib.last parts;
    in
    lib.optional (lib.hasPrefix "/dev/" path) "${utils.escapeSystemdPath path}.device";
  # Only what the boot cannot do without is worth a failure when it does not appear.
  devices = lib.optionals (
    cfg.upper.type == "disk" && cfg.upper.onMissing == "fail" && cfg.upper.device != null
  ) (deviceUnit cfg.upper.device);
  own = cfg.stage1 == "underlay";
  mkfs = {
    ext4 = pkgs.e2fsprogs;
    xfs = pkgs.xfsprogs;
    btrfs = pkgs.btrfs-progs;
    f2fs = pkgs.f2fs-tools;
  };
in
{
  config = lib.mkIf cfg.enable (
    lib.mkMerge [
      {
        # Below the root lie only what the boot mounts and what the system writes; none of it is kept.
        # As a whole a default: NixOS adds options of its own, beside which a default list would be lost.
        fileSystems."/" = lib.mkDefault {
          device = "tmpfs";
          fsType = "tmpfs";
          options = [ "mode=0755" ];
        };

        # The firmware starts the UKI: there is nothing to install.
        boot.loader.grub.enable = lib.mkDefault false;
      }

      (lib.mkIf own {
        # Also what the system's own `initrd` is, for whoever starts it by a boot loader instead of the UKI. Over a
        # shared directory the initramfs names the system, which therefore cannot have it.
        system.build.initialRamdisk = lib.mkIf (cfg.lower.share == null) (
          lib.mkForce config.system.build.underlayInitrd
        );
      })

      (lib.mkIf (!own) {
        boot.initrd.availableKernelModules = [
          "dm_verity"
          "overlay"
          "loop"
          cfg.store.filesystem
        ]
        ++ lib.optional (cfg.upper.type == "disk") cfg.upper.filesystem;

        boot.initrd.systemd = {
          storePaths = [
            "${cfg.package}/lib/underlay/underlay-init"
            # Beside it: what systemd returns to at the end.
            "${cfg.package}/lib/underlay/underlay-shutdown"
          ]
          ++ lib.optional (cfg.upper.type == "disk") "${lib.getBin mkfs.${cfg.upper.filesystem}}/bin";

          contents = {
            "/etc/underlay/underlay.conf".text = policy.text;
          }
          // lib.optionalAttrs (policy.sections.root.from or "tmpfs" == "tmpfs") {
            # An empty file keeps systemd from running it: no partition of type root is mounted, or waited for.
            "/etc/systemd/system-generators/systemd-gpt-auto-generator".text = "";
          }
          // lib.listToAttrs (
            lib.imap1 (
              n: file: lib.nameValuePair "/etc/verity.d/${toString n}.crt" { source = file; }
            ) cfg.store.certificates
          );

          services.underlay = {
            description = "Sealed Nix Store";
            documentation = [ "man:underlay-init(8)" ];
            unitConfig = {
              DefaultDependencies = false;
              OnFailure = "emergency.target";
              OnFailureJobMode = "replace-irreversibly";
              # It is left standing when the initramfs' other units are stopped, so that systemd-analyze tells of it.
              IgnoreOnIsolate = true;
            };
            wants = [ "systemd-udevd.service" ];
            requires = devices;
            after = [
              "systemd-modules-load.service"
              "systemd-udevd.service"
              # NixOS mounts a tmpfs; ours, which no kernel parameter can make another, comes to lie over it.
              "sysroot.mount"
            ]
            ++ devices;
            before = [
              "initrd-root-fs.target"
              "initrd-parse-etc.service"
              "initrd-find-nixos-closure.service"
              "shutdown.target"
            ];
            conflicts = [ "shutdown.target" ];
            requiredBy = [ "initrd-root-fs.target" ];
            path = lib.optional (cfg.upper.type == "disk") mkfs.${cfg.upper.filesystem};
            serviceConfig = {
              Type = "oneshot";
              RemainAfterExit = true;
              ExecStart = "${cfg.package}/lib/underlay/underlay-init --prepare-root /sysroot";
            };
          };

          # What NixOS mounts below the root (/run, what fileSystems has) waits for the one that it is to lie in.
          units."sysroot-.mount" = {
            overrideStrategy = "asDropin";
            text = ''
              [Unit]
              After=underlay.service
            '';
          };

          # The image says what is started, so the command line need not: images change, a UKI stays.
          services.initrd-find-nixos-closure.script = lib.mkForce ''
            ln -s "$(readlink /run/underlay/system)" /nixos-closure
            echo NEW_INIT= >/etc/switch-root.conf
          '';
        };
      })
    ]
  );
}
