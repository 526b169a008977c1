#!/usr/bin/env bash
# A user without rights, and a nix-daemon, on a machine whose nix.conf is as README says; in both modes of the database.
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache appliance qemu image upper; do
	. "tests/lib/$lib.sh"
done

users() {
	local mode=$1 initrd data
	image_config "$qemu_dir/users-$mode.conf" "[database]" "mode = $mode"
	initrd=$(image_initrd 6.12 "$qemu_dir/users-$mode.conf") && data=$(guest_disk "users-$mode" "mode=$mode" lib users) || {
		report 1 "users-$mode: its initramfs is made"
		return
	}
	qemu_boot "users-$mode" "$(cache_kernel 6.12)" "$initrd" "appliance.scenario=disk" 600 "$image" "$data"
	guest_checks "users-$mode" disk
}

image_keys && image=$(image_appliance 2.26) || { echo "not ok - the image is made" && exit 1; }
tap_case users attach
tap_case users rebuild
tap_cases
tap_end
