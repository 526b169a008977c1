#!/usr/bin/env bash
# A Debian under real systemd as the sealed system: started by our own /init, and by systemd's initramfs (dracut) with
# our unit; in both database modes. It reaches multi-user, nothing of ours fails or degrades it, the nix-daemon builds
# for an ordinary user, systemd-analyze tells of us, and the machine powers off with everything unmounted.
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache appliance qemu image debian; do
	. "tests/lib/$lib.sh"
done
kernel=6.12
mkdir -p "$qemu_dir"

# boots NAME INITRD MODE CMDLINE CONFIG-LINE...
boots() {
	local name=$1 how=$2 mode=$3 cmdline=$4 initrd
	shift 4
	image_config "$qemu_dir/$name.conf" "[database]" "mode = $mode" "$@"
	case $how in
	own) initrd=$(image_initrd $kernel "$qemu_dir/$name.conf") ;;
	systemd) initrd=$(debian_initrd $kernel "$qemu_dir/$name.conf")/initrd ;;
	esac || {
		report 1 "$name: the initramfs is made"
		return
	}
	qemu_boot "$name" "$(cache_kernel $kernel)" "$initrd" "$cmdline" 300 "$image"
	sed -i 's/\r$//' "$qemu_dir/$name.results" # a terminal's line ends
	tap_is "$name: the machine powers off" "$(cat "$qemu_dir/$name.end")" poweroff
	tap_is "$name: the scenario came to its end" "$(tail -n 1 "$qemu_dir/$name.results")" "end scenario 0"
	guest_found "$name"
	tap_is "$name: systemd is content" "$(guest_says "$name" running)" running
	tap_none "$name: no unit failed" guest_block "$name" failed
	tap_is "$name: not a first boot" "$(guest_says "$name" first-boot)" no
	tap "$name: the database is in mode $mode" grep -q "^database   $mode in" <(guest_block "$name" status)
	tap "$name: everything is unmounted at the end" grep -q 'underlay: shutdown: everything is unmounted' \
		"$qemu_dir/$name.console"
	# What conflicts with umount.target is unmounted by systemd, in use as it is. An initramfs' systemd that starts
	# another init puts /run/systemd aside, and our units with it: all five are unmounted then, in their order.
	local conflicts=
	[ "$how" = own ] || [[ "$*" = *activation* ]] || conflicts=umount.target
	tap_is "$name: all our mounts are there, and systemd itself unmounts $([ "$conflicts" ] && echo each || echo none)" \
		"$(guest_block "$name" mounts | grep -v '^Id=' | sort | uniq -c | sed 's/^ *//')" \
		"$(printf '4 \n5 ActiveState=active\n5 Conflicts=%s' "$conflicts")"
	tap "$name: no unmounting failed before" lacks -E 'FAILED.*(nix|usr)|Failed unmounting' "$qemu_dir/$name.console"
	[ "$how" = own ] || [[ "$*" != *activation* ]] ||
		tap "$name: systemd-analyze tells the time of our unit" grep -q 's underlay\.service$' <(guest_block "$name" blame)
	[ "$(tail -n 1 "$qemu_dir/$name.results")" = "end scenario 0" ] || qemu_show "$name"
}

# The other way round: systemd's initramfs boots our image by its own means, with nothing of Underlay in it.
by_usrhash() {
	local sealed initrd hash
	if ! sealed=$(image_appliance 2.26) || ! initrd=$(debian_plain_initrd $kernel); then
		report 1 "usrhash: image and initramfs are made"
		return
	fi
	hash=$("$underlay" image inspect --json "$sealed" | jq -r '.slots[0].rootHash')
	qemu_boot usrhash "$(cache_kernel $kernel)" "$initrd/initrd" "usrhash=$hash root=tmpfs rw \
		rd.systemd.mount-extra=/sysroot/usr/nix:/sysroot/nix:none:bind init=$(image_system 2.26)/init \
		appliance.scenario=hello" 300 "$sealed"
	tap_is "usrhash: systemd's initramfs verifies the image and starts its system" \
		"$(tail -n 1 "$qemu_dir/usrhash.results")" "end hello 0"
	[ "$(tail -n 1 "$qemu_dir/usrhash.results")" = "end hello 0" ] || qemu_show usrhash
}

if ! image=$(debian_image); then
	echo "not ok - the sealed Debian is made"
	exit 1
fi
tap_case boots systemd-analyzed systemd attach "" "# activation"
tap_case boots systemd-init systemd rebuild ""
tap_case boots debian-attach own attach ""
tap_case boots debian-rebuild own rebuild ""
tap_case by_usrhash
tap_cases
tap_end
