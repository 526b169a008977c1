#!/usr/bin/env bash
# The files for other initramfs: dracut's module, mkinitcpio's hook and mkosi's script, each run by a stand-in for the
# program that calls it, lay out the same units, and keep what would mount a root out.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
tmp=$(mktemp -d) || exit 1
tap_at_exit 'rm -rf "$tmp"'
units=usr/lib/systemd/system

# ---- the three stand-ins: each makes $tmp/NAME ---------------------------------------------------

make_dracut() (
	initdir=$tmp/dracut moddir=$tmp/module systemdsystemunitdir=/$units SYSTEMCTL=systemctl_of_dracut
	inst_multiple() { :; }
	inst_hook() { :; }
	inst_simple() { command install -D -m 644 "$1" "$initdir/${2:-$1}"; }
	systemctl_of_dracut() { # -q --root DIR add-requires TARGET UNIT
		mkdir -p "$3/$units/$5.requires" && ln -s "../$6" "$3/$units/$5.requires/$6"
	}
	mkdir -p "$moddir" "$initdir" && cp initrd/dracut/90underlay/* initrd/systemd/* "$moddir/"
	. "$moddir/module-setup.sh" && install
)

make_mkinitcpio() (
	root=$tmp/mkinitcpio
	mkdir -p "$root"
	add_module() { :; }
	add_binary() { :; }
	add_file() { :; }
	add_systemd_unit() { command install -D -m 644 "initrd/systemd/$1" "$root/$units/$1"; }
	add_systemd_drop_in() { mkdir -p "$root/$units/$1.d" && cat >"$root/$units/$1.d/$2.conf"; }
	add_symlink() { mkdir -p "$root/${1%/*}" && ln -s "$2" "$root/$1"; }
	. <(sed "s|</usr/lib/underlay/|<initrd/systemd/|" initrd/mkinitcpio/sd-underlay) && build
)

make_mkosi() (
	make --no-print-directory install DESTDIR="$tmp/mkosi" PREFIX=/usr >/dev/null || exit 1
	BUILDROOT=$tmp/mkosi "$tmp/mkosi/usr/share/underlay/initrd/mkosi/mkosi.postinst"
)

# ---- what each must have -------------------------------------------------------------------------

for name in dracut mkinitcpio mkosi; do
	root=$tmp/$name
	tap "$name: the files are laid out" make_$name
	tap "$name: the unit, as it is shipped" same "$root/$units/underlay.service" initrd/systemd/underlay.service
	tap_is "$name: it is required" "$(readlink "$root/$units/initrd-root-fs.target.requires/underlay.service")" ../underlay.service
	tap "$name: what is started in the end" same "$root/$units/initrd-switch-root.service.d/50-underlay.conf" \
		initrd/systemd/initrd-switch-root.conf
	tap "$name: mounts below the root wait for it" same "$root/$units/sysroot-.mount.d/50-underlay.conf" \
		initrd/systemd/below-sysroot.conf
	for generator in systemd-gpt-auto-generator systemd-fstab-generator; do
		tap_is "$name: $generator is masked" "$(readlink "$root/etc/systemd/system-generators/$generator")" /dev/null
	done
done
tap_is "dracut: its own generator is masked" "$(readlink "$tmp/dracut/etc/systemd/system-generators/dracut-rootfs-generator")" /dev/null

# Nothing that somebody else mounts is needed for the root, and nothing of it comes to lie over ours.
tap "the unit asks nobody for a root" lacks -E '^(Requires|BindsTo|RequiresMountsFor)=.*sysroot' initrd/systemd/underlay.service
tap "but waits for a sysroot.mount that is there" grep -qE '^After=.*\bsysroot\.mount\b' initrd/systemd/underlay.service
tap_end
