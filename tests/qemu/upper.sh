#!/usr/bin/env bash
# The persistent upper on both kernels: a first boot formats a blank partition of its own disk, a second finds it again.
# One case a filesystem that Debian's cloud kernels have (f2fs is none of them).
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache appliance qemu image; do
	. "tests/lib/$lib.sh"
done

# partitioned FILE: a GPT with one partition of type var.
partitioned() {
	rm -f "$1"
	truncate -s 512M "$1"
	sfdisk -q --label gpt "$1" <<<"type=4d21b016-b534-45c2-a9fb-5c16e091fd2d, name=upper"
}

# upper NAME KERNEL FILESYSTEM NAMED-BY [CONFIG-LINE...]
upper() {
	local name=upper-$1 kernel=$2 fs=$3 by=$4 image initrd boot
	shift 4
	image_config "$qemu_dir/$name.conf" "[upper]" "type = disk" "device = $by" "prepare = format" "filesystem = $fs" "$@"
	partitioned "$qemu_dir/$name.disk"
	if ! image=$(image_appliance 2.26) || ! initrd=$(image_initrd "$kernel" "$qemu_dir/$name.conf"); then
		report 1 "$name: its image and initramfs are made"
		return
	fi
	for boot in first second; do
		qemu_boot "$name-$boot" "$(cache_kernel "$kernel")" "$initrd" "appliance.scenario=upper" 600 "$image" \
			"$qemu_dir/$name.disk:rw"
		guest_found "$name-$boot" "$name, $boot boot"
		tap_is "$name, $boot boot: it runs to its end" "$(tail -n 1 "$qemu_dir/$name-$boot.results") $(cat "$qemu_dir/$name-$boot.end")" \
			"end upper 0 poweroff"
		tap_is "$name, $boot boot: state.json" \
			"$(guest_block "$name-$boot" state | jq -c '.upper | [.type, .filesystem, .device, .fresh, .fallback]')" \
			"[\"disk\",\"$fs\",\"/dev/vdb1\",$([ $boot = first ] && echo true || echo false),null]"
		[ "$(cat "$qemu_dir/$name-$boot.end")" = poweroff ] || qemu_show "$name-$boot"
	done
	rm "$qemu_dir/$name.disk"
}

image_keys && image_appliance 2.26 >/dev/null || { echo "not ok - the image is made" && exit 1; }
tap_case upper ext4 6.12 ext4 PARTTYPE=var "[database]" "mode = attach"
tap_case upper ext4-6.1 6.1 ext4 PARTLABEL=upper "[database]" "mode = attach"
tap_case upper xfs 6.12 xfs /dev/vdb1 "[database]" "mode = rebuild"
tap_case upper btrfs 6.12 btrfs PARTLABEL=upper "[database]" "mode = rebuild"
tap_cases
tap_end
