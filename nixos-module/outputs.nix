# What is built: system.build.underlay{Image,Initrd,Uki,Sign}.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.boot.underlay;
  inherit (config.system.build) toplevel;
  kernel = config.boot.kernelPackages.kernel;
  policy = import ./policy.nix {
    inherit lib cfg;
    nixVersion = lib.getVersion config.nix.package;
    shared = lib.optionalAttrs (cfg.lower.share != null) {
      system = toplevel;
      registration = "${
        pkgs.closureInfo { rootPaths = [ toplevel ] ++ cfg.store.closureRoots; }
      }/registration";
    };
  };
  pins = cfg.verify.mode == "pinned" && cfg.verify.rootHash == null;
in
{
  config = lib.mkIf cfg.enable {
    system.build = {
      underlayImage = import ./image.nix {
        inherit pkgs;
        underlay = cfg.package;
        system = toplevel;
        inherit (cfg.store)
          name
          version
          filesystem
          compression
          fec
          rollbackIndex
          attachable
          closureRoots
          ;
        inherit (cfg.store.signing) key certificate;
      };

      underlayInitrd =
        if cfg.stage1 == "underlay" then
          import ./initrd.nix {
            inherit pkgs;
            underlay = cfg.package;
            policy = policy.text;
            inherit (cfg.store) certificates;
            inherit (config.system) modulesTree;
            inherit (kernel) modDirVersion;
          }
        else
          config.system.build.initialRamdisk;

      underlayUki = import ./uki.nix {
        inherit pkgs;
        underlay = cfg.package;
        name = "${cfg.store.name}_${cfg.store.version}.efi";
        kernel = "${kernel}/${config.system.boot.loader.kernelFile}";
        initrd = "${config.system.build.underlayInitrd}/initrd";
        osRelease = "${config.system.build.etc}/etc/os-release";
        uname = kernel.modDirVersion;
        stub = "${pkgs.systemd}/lib/systemd/boot/efi/linux${pkgs.stdenv.hostPlatform.efiArch}.efi.stub";
        inherit (cfg) kernelParams;
        pinned = if pins then config.system.build.underlayImage else null;
        inherit (cfg.secureBoot) key certificate;
      };

      # Run by hand, where the key is: underlay-sign KEY CERTIFICATE [OUTPUT].
      underlaySign = pkgs.writeShellScriptBin "underlay-sign" ''
        set -eu
        [ $# -ge 2 ] || { echo "usage: underlay-sign KEY CERTIFICATE [OUTPUT]" >&2; exit 2; }
        output=''${3:-${cfg.store.name}_${cfg.store.version}.raw}
        cp --reflink=auto --no-preserve=mode ${config.system.build.underlayImage}/*.raw "$output"
        ${cfg.package}/bin/underlay image sign "$output" --key "$1" --cert "$2"
      '';
    };
  };
}
