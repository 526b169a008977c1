# A system from the module's configuration, as NixOS makes one: here a Debian under systemd, with the units, the
# settings of Nix, the host name and the packages that the configuration has.
{
  config,
  lib,
  pkgs,
  here,
  ...
}:
let
  inherit (import ./unit.nix { inherit lib; }) words unit;
  # What Debian has a unit for is added to, as NixOS does with a package's units.
  install = name: service: ''
    file=$out/etc/systemd/system/${name}.service
    [ ! -e ${here.system}/usr/lib/systemd/system/${name}.service ] || file=$file.d/nixos.conf
    mkdir -p "''${file%/*}"
    cat >"$file" <<'END'
    ${unit service}
    END
    for target in ${words (service.wantedBy or [ ])}; do
      mkdir -p $out/etc/systemd/system/$target.wants
      ln -s ../${name}.service $out/etc/systemd/system/$target.wants/
    done
  '';
  setting = name: value: "${name} = ${if builtins.isBool value then lib.boolToString value else words value}\n";
in
{
  boot = {
    # On a busy machine the emulated timer is late, which the kernel takes for a broken one.
    kernelParams = [
      "no_timer_check"
      "panic=-1"
    ];
    kernelPackages.kernel = {
      outPath = "${here.kernel}/boot";
      modDirVersion = here.version;
    };
  };
  system = {
    boot.loader.kernelFile = "vmlinuz-${here.version}";
    modulesTree = here.kernel;
    build = {
      etc = pkgs.runCommand "etc" { } ''
        mkdir -p $out/etc
        cp ${here.system}/usr/lib/os-release $out/etc/
      '';
      toplevel =
        pkgs.runCommand "nixos-system-${config.networking.hostName}"
          {
            recipe = ./debian;
            root = here.system;
            BUSYBOX = pkgs.busybox;
          }
          ''
            . $recipe/build.sh
            echo ${config.networking.hostName} >$out/etc/hostname
            cat >>$out/etc/nix/nix.conf <<'END'
            ${lib.concatStrings (lib.mapAttrsToList setting config.nix.settings)}
            END
            ${lib.concatStrings (lib.mapAttrsToList install config.systemd.services)}
            # As NixOS' second stage does: the store is read-only for all but Nix.
            cat >>$out/prepare-root <<'END'
            busybox chown 0:30000 /nix/store
            busybox chmod 1775 /nix/store
            busybox mount --bind /nix/store /nix/store
            busybox mount -o remount,ro,bind /nix/store
            END
            mkdir $out/sw $out/sw/bin
            for package in ${words config.environment.systemPackages}; do
              ln -s $package/bin/* $out/sw/bin/
            done
          '';
    };
  };
}
