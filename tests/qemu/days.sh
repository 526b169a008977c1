#!/usr/bin/env bash
# Nix on a machine for three boots over one persistent upper: see tests/lib/days.sh. DAYS: which Nix in which mode of
# the database.
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache appliance qemu image upper days; do
	. "tests/lib/$lib.sh"
done
kernel=6.12

boot_day() {
	# The same for all days: each has a folder that the first one finds empty.
	if [ ! -s "$2/initrd" ]; then
		image_config "$2/conf" "[upper]" "type = disk" "device = PARTLABEL=upper" "prepare = format" \
			"[database]" "mode = $mode"
		image_initrd $kernel "$2/conf" >"$2/initrd" || return 1
	fi
	qemu_boot "$1" "$(cache_kernel $kernel)" "$(cat "$2/initrd")" "appliance.scenario=disk" 900 "$image" "$2/disk:rw" "$3"
	[ "$(cat "$qemu_dir/$1.end")" = poweroff ] || { qemu_show "$1" && return 1; }
}

days qemu ${DAYS:-2.26:attach}
tap_end
