# Configurations to evaluate. `good` ones have golden files; each of `bad` fires exactly one assertion or type error.
let
  cert = ./seal.crt;
  base = {
    boot.underlay = {
      enable = true;
      store.certificates = [ cert ];
    };
  };
  systemd.boot.initrd.systemd.enable = true;
  with' = underlay: [
    base
    { boot.underlay = underlay; }
  ];
in
{
  good = {
    disabled = [ { } ];
    defaults = [ base ];
    systemd = [
      base
      systemd
    ];
    # The collector of NixOS is ours, with a warning about options that are not.
    gc = [
      base
      {
        nix.gc = {
          automatic = true;
          options = "--delete-older-than 30d";
        };
        boot.underlay.gc = {
          options = [
            "--keep-free"
            "2G"
          ];
          deleteOlderThan = "30d";
        };
      }
    ];
    device = [
      base
      systemd
      {
        boot.underlay = {
          store = {
            name = "bench";
            version = "3.1";
            compression = "zstd,12";
            fec = 2;
            rollbackIndex = 7;
          };
          verify = {
            mode = "both";
            rollbackMin = 5;
            corruption = "panic";
          };
          upper = {
            type = "disk";
            device = "PARTLABEL=upper";
            size = "8G";
            prepare = true;
          };
          system.from = "profile";
          failure.action = "shell";
        };
      }
    ];
    # A root on a disk is unsealed, with a warning; of a tmpfs the size is the policy's.
    root-on-disk = [
      base
      systemd
      {
        fileSystems."/" = {
          device = "/dev/disk/by-label/root";
          fsType = "ext4";
        };
      }
    ];
    root-size = [
      base
      systemd
      {
        fileSystems."/" = {
          device = "none";
          fsType = "tmpfs";
          options = [
            "mode=0755"
            "size=2g"
          ];
        };
      }
    ];
    fallback = with' {
      upper = {
        type = "disk";
        device = "UUID=1234-abcd";
        filesystem = "f2fs";
        onMissing = "tmpfs";
      };
      database.mode = "rebuild";
      failure = {
        action = "poweroff";
        delay = "1min";
      };
      settings = {
        image.timeout = "2min";
        modules.load = [
          "usb-storage"
          "nvme"
        ];
        modules.coldplug = true;
        failure.delay = "3s";
      };
    };
    pinned = [
      {
        boot.underlay = {
          enable = true;
          verify.mode = "pinned";
          store.filesystem = "squashfs";
          store.attachable = false;
          secureBoot.key = "/run/keys/db.key";
          secureBoot.certificate = cert;
        };
      }
    ];
    shared = [
      {
        boot.underlay = {
          enable = true;
          verify.mode = "insecure";
          lower.share = "9p:nix-store";
        };
      }
    ];
    old-nix = [
      base
      (
        { pkgs, ... }:
        {
          nix.package = pkgs.package "nix" "2.8.0";
        }
      )
    ];
  };

  # The sentence's beginning, and what provokes it.
  bad = {
    stage1-systemd = {
      modules = with' { stage1 = "systemd"; };
      says = "boot.underlay.stage1 is \"systemd\", but there is no systemd in the initramfs: set boot.initrd.systemd.enable";
    };
    stage1-own = {
      modules = with' { stage1 = "underlay"; } ++ [ systemd ];
      says = "boot.underlay.stage1 is \"underlay\", which takes the place of NixOS' own initramfs: set boot.initrd.systemd.enable";
    };
    stage1-old-nixos = {
      modules = [
        base
        systemd
        (
          { lib, ... }:
          {
            boot.initrd.systemd.services.initrd-find-nixos-closure.requiredBy = lib.mkForce [ ];
          }
        )
      ];
      says = "boot.underlay.stage1 is \"systemd\", but the initramfs of this nixpkgs has no initrd-find-nixos-closure.service";
    };
    no-certificate = {
      modules = [ { boot.underlay.enable = true; } ];
      says = "boot.underlay.verify.mode is \"user\", but no certificate is trusted: name one in boot.underlay.store.certificates";
    };
    optimise-rebuilt = {
      modules = with' { database.mode = "rebuild"; } ++ [ { nix.optimise.automatic = true; } ];
      says = "nix.optimise.automatic would copy the whole image into the writable layer";
    };
    pinned-rollback = {
      modules = with' {
        verify.mode = "pinned";
        verify.rollbackMin = 2;
      };
      says = "boot.underlay.verify.rollbackMin is a demand on signed images";
    };
    share-verified = {
      modules = with' { lower.share = "9p:store"; };
      says = "boot.underlay.lower.share is verified by nobody, but verify.mode is \"user\": set verify.mode = \"insecure\"";
    };
    insecure-without-share = {
      modules = with' { verify.mode = "insecure"; };
      says = "boot.underlay.verify.mode is \"insecure\", but no shared directory is named: set boot.underlay.lower.share";
    };
    share-in-systemd = {
      modules =
        with' {
          verify.mode = "insecure";
          lower.share = "9p:store";
        }
        ++ [ systemd ];
      says = "boot.underlay.lower.share needs an initramfs that is no part of the system which it names: set boot.underlay.stage1";
    };
    insecure-rollback = {
      modules = with' {
        verify.mode = "insecure";
        verify.rollbackMin = 2;
        lower.share = "9p:store";
      };
      says = "boot.underlay.verify.rootHash, rollbackMin and corruption hold nothing while verify.mode is \"insecure\"";
    };
    insecure-signed = {
      modules = with' {
        verify.mode = "insecure";
        lower.share = "9p:store";
        secureBoot.key = "/run/keys/db.key";
        secureBoot.certificate = cert;
      };
      says = "boot.underlay.secureBoot.key would sign a kernel that verifies nothing";
    };
    disk-without-device = {
      modules = with' { upper.type = "disk"; };
      says = "boot.underlay.upper.type is \"disk\", but no disk is named: set boot.underlay.upper.device";
    };
    device-for-tmpfs = {
      modules = with' { upper.device = "LABEL=upper"; };
      says = "boot.underlay.upper.device and upper.prepare are for a persistent upper: set boot.underlay.upper.type = \"disk\"";
    };
    profile-in-tmpfs = {
      modules = with' { system.from = "profile"; };
      says = "boot.underlay.system.from is \"profile\", but a profile in a tmpfs is gone after a restart: set boot.underlay.upper.type";
    };
    attach-old-nix = {
      modules = with' { database.mode = "attach"; } ++ [
        (
          { pkgs, ... }:
          {
            nix.package = pkgs.package "nix" "2.18.9";
          }
        )
      ];
      says = "boot.underlay.database.mode is \"attach\", which needs Nix 2.22 or later, and nix.package is 2.18.9: set database.mode = \"rebuild\"";
    };
    attach-nothing = {
      modules = with' {
        database.mode = "attach";
        store.attachable = false;
      };
      says = "boot.underlay.database.mode is \"attach\", but the image carries no database: set boot.underlay.store.attachable";
    };
    key-without-certificate = {
      modules = with' { store.signing.key = "/run/keys/seal.key"; };
      says = "boot.underlay.store.signing needs both key and certificate";
    };
    uki-key-without-certificate = {
      modules = with' { secureBoot.key = "/run/keys/db.key"; };
      says = "boot.underlay.secureBoot needs both key and certificate";
    };
    key-in-store = {
      modules = with' {
        store.signing.key = "${builtins.storeDir}/00000000000000000000000000000000-seal.key";
        store.signing.certificate = cert;
      };
      says = "boot.underlay.store.signing.key lies in the Nix store, where everybody can read it: keep the key outside";
    };
    uki-key-in-store = {
      modules = with' {
        secureBoot.key = "${builtins.storeDir}/00000000000000000000000000000000-db.key";
        secureBoot.certificate = cert;
      };
      says = "boot.underlay.secureBoot.key lies in the Nix store, where everybody can read it: keep the key outside";
    };
  };

  # Values that a type refuses.
  refused = {
    name-with-underscore = with' { store.name = "my_device"; };
    unknown-mode = with' { verify.mode = "none"; };
    size-in-words = with' { upper.size = "two gigabytes"; };
    device-without-kind = with' { upper.device = "upper"; };
    share-without-tag = with' { lower.share = "virtiofs"; };
    short-hash = with' { verify.rootHash = "abc123"; };
    too-much-fec = with' { store.fec = 25; };
    misspelt = with' { uper.type = "disk"; };
  };
}
