#!/bin/bash
# dracut: boot from a sealed Nix store. Policy and certificates are taken from /etc/underlay and /etc/verity.d.

check() {
	require_binaries /usr/lib/underlay/underlay-init || return 1
	# Only where somebody asks for it: --add underlay, or add_dracutmodules.
	return 255
}

depends() {
	echo systemd-initrd kernel-modules udev-rules
}

installkernel() {
	hostonly='' instmods dm_verity erofs squashfs overlay loop ext4 quota_v2 xfs btrfs f2fs
	# What is in the kernel or not in this kernel is no failure.
	return 0
}

install() {
	local file
	inst_multiple /usr/lib/underlay/underlay-init
	inst_multiple -o /usr/lib/underlay/underlay-shutdown e2fsck mkfs.ext4 mkfs.xfs mkfs.btrfs fsck.f2fs mkfs.f2fs
	for file in /etc/underlay/* /etc/verity.d/*; do
		[ ! -f "$file" ] || inst_simple "$file"
	done
	inst_simple "${moddir:?}/underlay.service" "${systemdsystemunitdir:?}/underlay.service"
	inst_simple "$moddir/initrd-switch-root.conf" \
		"$systemdsystemunitdir/initrd-switch-root.service.d/50-underlay.conf"
	inst_simple "$moddir/below-sysroot.conf" "$systemdsystemunitdir/sysroot-.mount.d/50-underlay.conf"
	# The root is ours: none of these mounts at /sysroot what partition table, firmware or command line name, or
	# waits for it.
	mkdir -p "${initdir:?}/etc/systemd/system-generators"
	for file in systemd-gpt-auto-generator systemd-fstab-generator dracut-rootfs-generator; do
		ln -sf /dev/null "$initdir/etc/systemd/system-generators/$file"
	done
	${SYSTEMCTL:-systemctl} -q --root "$initdir" add-requires initrd-root-fs.target underlay.service
	inst_hook cmdline 90 "$moddir/parse-underlay.sh"
}
