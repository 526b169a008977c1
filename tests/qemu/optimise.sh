#!/usr/bin/env bash
# nix-store --optimise over the sealed store. Attached, Nix looks at what the upper has only. Over a rebuilt database it
# links sealed files, too, and the overlay copies each of them into the session: the next boot throws the copies away,
# and puts none of them aside.
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache appliance qemu image upper; do
	. "tests/lib/$lib.sh"
done
work=$qemu_dir/optimise
mkdir -p "$work"

# boot NAME MODE OPTIMISE
boot() {
	local data
	data=$(guest_disk "$1" "release=1" "mode=$2" "optimise=$3" lib optimise) || return 1
	qemu_boot "$1" "$(cache_kernel 6.12)" "$initrd" "appliance.scenario=disk" 500 "$image" "$work/$2.disk:rw" "$data"
	guest_checks "$1" disk
}

optimise() {
	local mode=$1 initrd
	image_config "$work/$mode.conf" "[upper]" "type = disk" "device = PARTLABEL=upper" "prepare = format" \
		"[database]" "mode = $mode"
	upper_disk "$work/$mode.disk" 600
	initrd=$(image_initrd 6.12 "$work/$mode.conf") || return 1
	boot "optimise-$mode" "$mode" yes
	tap_is "$mode: no copy of a sealed path before it" "$(guest_says "optimise-$mode" copies-before)" 0
	[ "$mode" = rebuild ] ||
		tap_is "$mode: it copies no sealed path" "$(guest_says "optimise-$mode" copies-after)" 0
	[ "$mode" = attach ] || {
		tap "$mode: it copies sealed paths, as the manual says" test "$(guest_says "optimise-$mode" copies-after)" -gt 1
		boot "optimised-$mode" "$mode" no
		tap_is "$mode: the next boot throws them away, and puts none aside" \
			"$(guest_says "optimised-$mode" copies-before) $(guest_says "optimised-$mode" quarantined)" "0 0"
	}
}

image=$(image_appliance 2.26) || { echo "not ok - the image is made" && exit 1; }
tap_case optimise attach
tap_case optimise rebuild
tap_cases
tap_end
