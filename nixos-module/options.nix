# The options of `boot.underlay`. What becomes of them: policy.nix (the initramfs' configuration), stage-1.nix
# (how the machine starts), system.nix (what the running system needs), outputs.nix (image, initramfs, UKI).
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types literalExpression;
  size = types.strMatching "[0-9]+[KMGT]?";
  duration = types.strMatching "[0-9]+(us|ms|s|min|h)?";
  device = types.strMatching "(PARTLABEL|PARTUUID|PARTTYPE|LABEL|UUID)=.+|/dev/.+";
  nameChars = "[A-Za-z0-9.+~^-]+";
in
{
  options.boot.underlay = {
    enable = lib.mkEnableOption ''
      booting from a sealed Nix store: a signed, read-only image opened through dm-verity, with a
      writable layer over it and a Nix database that is right from the first moment
    '';

    package = mkOption {
      type = types.package;
      default = pkgs.callPackage ./package.nix { };
      defaultText = literalExpression "pkgs.callPackage ./package.nix { }";
      description = "The package with the programs {command}`underlay` and {command}`underlay-init`.";
    };

    stage1 = mkOption {
      type = types.enum [
        "systemd"
        "underlay"
      ];
      default = if config.boot.initrd.systemd.enable then "systemd" else "underlay";
      defaultText = literalExpression ''if config.boot.initrd.systemd.enable then "systemd" else "underlay"'';
      description = ''
        Which program is PID 1 of the initramfs. `systemd`: NixOS' systemd initrd, in which
        {command}`underlay-init --prepare-root` runs as a service; it waits for devices through udev and
        fails into systemd's emergency mode. `underlay`: an initramfs of a few megabytes with
        {command}`underlay-init` as its `/init` and nothing else in it.
      '';
    };

    store = {
      name = mkOption {
        type = types.strMatching nameChars;
        default = config.networking.hostName;
        defaultText = literalExpression "config.networking.hostName";
        example = "thermostat";
        description = ''
          Name of the image. A machine starts images of this name only. It may not contain an underscore,
          which separates name and version in the partition's label.
        '';
      };

      version = mkOption {
        type = types.strMatching nameChars;
        default = config.system.nixos.version;
        defaultText = literalExpression "config.system.nixos.version";
        example = "1.4.0";
        description = "Version of the image. Of several on a machine, the newest acceptable one is started.";
      };

      filesystem = mkOption {
        type = types.enum [
          "erofs"
          "squashfs"
        ];
        default = "erofs";
        description = "Filesystem of the image.";
      };

      compression = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "zstd,12";
        description = ''
          How the filesystem is compressed: a name that {command}`mkfs.erofs` or {command}`mksquashfs` knows, and
          after a comma its level. `null`: lz4 for erofs, zstd for squashfs.
        '';
      };

      closureRoots = mkOption {
        type = types.listOf types.package;
        default = [ ];
        example = literalExpression "[ pkgs.hello ]";
        description = ''
          Store paths that the image holds with all that they refer to, besides the system itself.
        '';
      };

      attachable = mkOption {
        type = types.bool;
        default = true;
        description = ''
          Whether the image carries Nix's database, which database mode `attach` needs. Without it the image is
          smaller by some 750 bytes a store path, and every boot rebuilds the database.
        '';
      };

      fec = mkOption {
        type = types.nullOr (types.ints.between 2 24);
        default = null;
        example = 2;
        description = ''
          Forward error correction: bytes of parity for each 255 bytes of image, so that scattered bad blocks of
          a worn disk are mended when they are read. `null`: none.
        '';
      };

      rollbackIndex = mkOption {
        type = types.ints.unsigned;
        default = 0;
        description = ''
          The image's rollback index, signed with it. Raise it when older images must no longer start; see
          {option}`boot.underlay.verify.rollbackMin`.
        '';
      };

      certificates = mkOption {
        type = types.listOf types.path;
        default = [ ];
        example = literalExpression "[ ./seal.crt ]";
        description = ''
          Certificates (PEM) whose keys may sign images for this machine. They are packed into the initramfs.
        '';
      };

      signing = {
        key = mkOption {
          type = types.nullOr types.str;
          default = null;
          example = "/run/keys/seal.key";
          description = ''
            The private key (PEM), as a path outside of the Nix store that the build sandbox shows
            ({option}`nix.settings.extra-sandbox-paths`). `null`, the default: the image is built unsigned, and
            {option}`system.build.underlaySign` signs it outside of the build.
          '';
        };

        certificate = mkOption {
          type = types.nullOr types.path;
          default = null;
          example = literalExpression "./seal.crt";
          description = "The certificate (PEM) of {option}`boot.underlay.store.signing.key`.";
        };
      };
    };

    verify = {
      mode = mkOption {
        type = types.enum [
          "user"
          "kernel"
          "both"
          "pinned"
          "insecure"
        ];
        default = "user";
        description = ''
          Who decides that an image is trusted. `user`: {command}`underlay-init` checks the signature against
          {option}`boot.underlay.store.certificates`. `kernel`: the kernel checks it against its own keyrings.
          `both`: each of them. `pinned`: the root hash is named by the UKI's signed command line or by
          {option}`boot.underlay.verify.rootHash`, and no signature is asked for. `insecure`: nothing is verified, of
          the directory that {option}`boot.underlay.lower.share` names; for development only.
        '';
      };

      rootHash = mkOption {
        type = types.nullOr (types.strMatching "[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128}");
        default = null;
        description = ''
          The one root hash that is accepted, in every mode. It cannot be that of the image that this
          configuration makes, whose hash depends on it: in mode `pinned` with `null` here the UKI names it.
        '';
      };

      rollbackMin = mkOption {
        type = types.ints.unsigned;
        default = 0;
        description = "Smallest rollback index of an image that is accepted.";
      };

      corruption = mkOption {
        type = types.enum [
          "eio"
          "restart"
          "panic"
        ];
        default = "eio";
        description = ''
          What the kernel does when a block of the image does not match its hash: an I/O error for whoever
          reads it, a restart of the machine, or a panic.
        '';
      };
    };

    lower.share = mkOption {
      type = types.nullOr (types.strMatching "(virtiofs|9p):[!-~]{1,36}");
      default = null;
      example = "9p:nix-store";
      description = ''
        Instead of an image, the directory that a virtual machine's host shares with this tag: the Nix store in which
        the system was built, or one that holds it. Nobody verifies it, so
        {option}`boot.underlay.verify.mode` must be `insecure`.
      '';
    };

    upper = {
      type = mkOption {
        type = types.enum [
          "tmpfs"
          "disk"
        ];
        default = "tmpfs";
        description = ''
          Where the writable layer lies. `tmpfs`: in memory, lost at every restart. `disk`: on a filesystem that
          outlives restarts and new images.
        '';
      };

      device = mkOption {
        type = types.nullOr device;
        default = null;
        example = "PARTLABEL=upper";
        description = "The partition or disk of a persistent upper.";
      };

      filesystem = mkOption {
        type = types.enum [
          "ext4"
          "xfs"
          "btrfs"
          "f2fs"
        ];
        default = "ext4";
        description = "Filesystem of a persistent upper.";
      };

      size = mkOption {
        type = types.nullOr size;
        default = null;
        example = "2G";
        description = ''
          For a tmpfs its size (`null`: half of the memory); for a disk the size that the filesystem is made with
          (`null`: the whole device).
        '';
      };

      prepare = mkOption {
        type = types.bool;
        default = false;
        description = ''
          Whether to make the filesystem at the first boot, where the device holds nothing. A device that holds
          something is never formatted.
        '';
      };

      onMissing = mkOption {
        type = types.enum [
          "fail"
          "tmpfs"
        ];
        default = "fail";
        description = ''
          What to do when a persistent upper is missing or damaged: fail the boot, or go on with a tmpfs and say
          so in the log and in {command}`underlay status`.
        '';
      };
    };

    database.mode = mkOption {
      type = types.enum [
        "auto"
        "attach"
        "rebuild"
      ];
      default = "auto";
      description = ''
        How Nix learns of the image's store paths. `attach`: it reads the image's own database in place, by its
        `local-overlay` store (Nix 2.22 and later), in constant time. `rebuild`: an ordinary database is written
        from the image's manifest at boot, about a microsecond a path, for any Nix 2.x. `auto`: by
        {option}`nix.package`'s version.
      '';
    };

    system.from = mkOption {
      type = types.enum [
        "image"
        "profile"
      ];
      default = "image";
      description = ''
        Which system is started: the image's own, or the current generation of the system profile in a
        persistent upper where there is a valid one. With `profile`, {command}`nixos-rebuild boot` works on the
        device. What is in the upper is not signed: see SECURITY.md.
      '';
    };

    failure = {
      action = mkOption {
        type = types.enum [
          "reboot"
          "poweroff"
          "halt"
          "shell"
        ];
        default = "reboot";
        description = ''
          What to do when no image can be started. With {option}`boot.underlay.stage1` = `systemd` this is
          systemd's matter: emergency mode.
        '';
      };

      delay = mkOption {
        type = duration;
        default = "10s";
        description = "How long the failure's message stands before that.";
      };
    };

    settings = mkOption {
      type = types.attrsOf (
        types.attrsOf (
          types.oneOf [
            types.bool
            types.int
            types.str
            (types.listOf types.str)
          ]
        )
      );
      default = { };
      example = literalExpression ''
        {
          image.timeout = "2min";
          modules.load = [ "usb-storage" ];
        }
      '';
      description = ''
        More of the policy, section by section: see {manpage}`underlay.conf(5)`. A setting here wins over what
        the other options make of it.
      '';
    };

    gc = {
      options = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [
          "--keep-free"
          "2G"
        ];
        description = ''
          Options of {command}`underlay gc`, which {option}`nix.gc.automatic` runs in the place of
          {command}`nix-collect-garbage`: see {manpage}`underlay-gc(1)`.
        '';
      };

      deleteOlderThan = mkOption {
        type = types.nullOr (types.strMatching "[0-9]+d");
        default = null;
        example = "30d";
        description = "Generations of all profiles that are older are deleted before. `null`: none.";
      };
    };

    kernelParams = mkOption {
      type = types.listOf types.str;
      default = config.boot.kernelParams;
      defaultText = literalExpression "config.boot.kernelParams";
      description = "The command line of the UKI.";
    };

    secureBoot = {
      key = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "/run/keys/db.key";
        description = ''
          Key (PEM) that the UKI is signed with for Secure Boot, as a path outside of the Nix store. `null`: the
          UKI is built unsigned.
        '';
      };

      certificate = mkOption {
        type = types.nullOr types.path;
        default = null;
        description = "The certificate (PEM) of {option}`boot.underlay.secureBoot.key`.";
      };
    };
  };
}
