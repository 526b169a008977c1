#!/usr/bin/env bash
# The units that the module gives to systemd's initramfs, booted: on a persistent layer whose device unit is waited for.
# They are evaluated by Nix and laid over a Debian's initramfs, where the little of NixOS' own that they work with
# stands in: the rest of initrd-find-nixos-closure.service, the activation after it, and the switch to what they name.
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache appliance qemu image debian; do
	. "tests/lib/$lib.sh"
done
kernel=6.12
work=$qemu_dir/nixos-initrd
debian_units=$work/units
rm -rf "$work"
mkdir -p "$debian_units"/usr/lib/systemd/system
nix-instantiate --eval --strict --json --option build-users-group '' tests/nixos/standin/initrd.nix >"$work/module.json" ||
	{ echo "not ok - the module evaluates" && exit 1; }
of() { jq -r "$1" "$work/module.json"; }

# ---- the initramfs -------------------------------------------------------------------------------

{ of .policy && echo "# activation"; } >"$work/policy"
take_lines names of '.units | keys[]' || exit 1
for name in "${names[@]}"; do
	of ".units[\"$name\"]" >"$debian_units/usr/lib/systemd/system/$name"
	for target in $(of ".required[\"$name\"][]"); do # it may be required by none
		mkdir -p "$debian_units/usr/lib/systemd/system/$target.requires"
		ln -s "../$name" "$debian_units/usr/lib/systemd/system/$target.requires/$name"
	done
done
take_lines names of '.dropins | keys[]' || exit 1
for name in "${names[@]}"; do
	mkdir -p "$debian_units/usr/lib/systemd/system/$name.d"
	# NixOS has not what dracut's module brings.
	: >"$debian_units/usr/lib/systemd/system/$name.d/50-underlay.conf"
	of ".dropins[\"$name\"]" >"$debian_units/usr/lib/systemd/system/$name.d/overrides.conf"
done
take_lines names of '.files | keys[]' || exit 1
for name in "${names[@]}"; do
	mkdir -p "$debian_units${name%/*}"
	jq -j ".files[\"$name\"]" "$work/module.json" >"$debian_units$name"
	# A mask. dracut lays this tree over what its modules made with cp, which writes through links: an empty file
	# would be written to the mask that stands there, and the machine's own /dev/null get its mode and times.
	[ -s "$debian_units$name" ] || ln -sf /dev/null "$debian_units$name"
done
# NixOS' scripts end at the first failure.
{ printf '#!/bin/sh\nset -e\n' && of .script; } >"$debian_units/usr/lib/find-nixos-closure"
chmod +x "$debian_units/usr/lib/find-nixos-closure"
# The store paths that the units name.
mkdir -p "$debian_units$(of .package)/lib" "$debian_units$(of .e2fsprogs)"
ln -s /usr/lib/underlay "$debian_units$(of .package)/lib/underlay"
ln -s /usr/sbin "$debian_units$(of .e2fsprogs)/bin"

cd "$debian_units/usr/lib/systemd/system" || exit 1
# As its fstab generator makes it of fileSystems."/"; whoever looks sees whose it is.
cat >sysroot.mount <<'END'
[Unit]
DefaultDependencies=no
Before=initrd-root-fs.target
[Mount]
What=tmpfs
Where=/sysroot
Type=tmpfs
END
cat >of-nixos.service <<'END'
[Unit]
DefaultDependencies=no
RequiresMountsFor=/sysroot
Before=underlay.service
IgnoreOnIsolate=yes
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c ': >/sysroot/of-nixos'
END
cat >sysroot-run.mount <<'END'
[Unit]
DefaultDependencies=no
Before=initrd-fs.target
[Mount]
What=/run
Where=/sysroot/run
Options=bind
END
cat >initrd-nixos-activation.service <<'END'
[Unit]
DefaultDependencies=no
After=initrd-switch-root.target
Before=initrd-switch-root.service
RequiresMountsFor=/sysroot/run
[Service]
Type=oneshot
ExecStartPre=/bin/sh -c 'test ! -e /sysroot/of-nixos && test -e /sysroot/run/underlay/state.json && echo "activation: the root is ours, with its /run" >/dev/kmsg'
ExecStart=/bin/sh -c 'exec chroot /sysroot "$(readlink /nixos-closure)/prepare-root"'
END
mkdir -p initrd-root-fs.target.requires initrd-fs.target.requires initrd-switch-root.service.requires initrd-switch-root.service.d
ln -s ../sysroot.mount ../of-nixos.service initrd-root-fs.target.requires/
ln -s ../sysroot-run.mount initrd-fs.target.requires/
ln -s ../initrd-nixos-activation.service initrd-switch-root.service.requires/
cat >initrd-switch-root.service.d/60-nixos.conf <<'END'
[Service]
EnvironmentFile=
EnvironmentFile=-/etc/switch-root.conf
ExecStart=
ExecStart=systemctl --no-block switch-root /sysroot "${NEW_INIT}"
END
cd "$OLDPWD" || exit 1

if ! image=$(debian_image) || ! initrd=$(debian_initrd $kernel "$work/policy")/initrd; then
	echo "not ok - image and initramfs are made"
	exit 1
fi
take_lines names of '.units | keys[]' || exit 1
for name in "${names[@]}"; do
	zstd -dc "$initrd" | cpio -i --quiet --to-stdout "usr/lib/systemd/system/$name" >"$work/$name"
	tap "the initramfs has the module's $name" diff "$debian_units/usr/lib/systemd/system/$name" "$work/$name"
done

# ---- the boots -----------------------------------------------------------------------------------

truncate -s 512M "$work/upper.img"
mkfs.ext4 -q -L upper "$work/upper.img"
qemu_boot nixos-initrd "$(cache_kernel $kernel)" "$initrd" "" 300 "$image" "$work/upper.img:rw"
results=$qemu_dir/nixos-initrd.results
sed -i 's/\r$//' "$results"
block() {
	grep -qx "end $1" "$results" || { echo "there is no block $1" && return 1; }
	sed -n "/^begin $1\$/,/^end $1\$/p" "$results" | sed '1d;$d'
}
tap_is "the machine powers off" "$(cat "$qemu_dir/nixos-initrd.end")" poweroff
tap_is "the scenario came to its end" "$(tail -n 1 "$results")" "end scenario 0"
grep -E '^(ok|not ok) |^# ' "$results" | tap_lines
lacks -q '^not ok' "$results" || touch "$tap_dir/failed"
tap_is "systemd is content" "$(sed -n 's/^say running //p' "$results")" running
tap_none "no unit failed" block failed
tap "the layer is the disk whose unit was waited for" grep -qE '^upper +(disk|ext4|/dev/vdb)' <(block status)
tap "the activation has the root that the policy says, and /run in it" \
	grep -q 'activation: the root is ours, with its /run' "$qemu_dir/nixos-initrd.console"
tap "systemd-analyze tells the time of our unit" grep -q 's underlay\.service$' <(block blame)
tap "everything is unmounted at the end" grep -q 'underlay: shutdown: everything is unmounted' "$qemu_dir/nixos-initrd.console"
[ "$(tail -n 1 "$results")" = "end scenario 0" ] || qemu_show nixos-initrd
tap_end
