#!/usr/bin/env bash
# A machine updates its own disk, while it runs from it: the next start takes the newer image, by its UKI.
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache appliance qemu image upper disk; do
	. "tests/lib/$lib.sh"
done
work=$qemu_dir/update
rm -rf "$work"
mkdir -p "$work"
loader=/usr/lib/systemd/boot/efi/systemd-bootx64.efi
qemu_vars=/usr/share/OVMF/OVMF_VARS_4M.fd # Secure Boot is off

# start NAME SCENARIO NEXT SLOT RUNS: the guest has the image NEXT, for SLOT.
start() {
	local name=$1 data
	data=$(guest_disk "$name" "next=$(basename "$3")" "slot=$4" "runs=$5" "+$3" "+$keys_dir/signer.crt" "+$work/next.efi" lib "$2") ||
		return
	qemu_boot_disk "$name" "$work/disk" virtio 512 400 "$data"
	tr -d '\r' <"$qemu_dir/$name.console" | grep -o 'underlay: .*' >"$work/$name.said"
	guest_checks "$name" disk
}

image_keys && one=$(image_appliance 2.26:1) && two=$(image_appliance 2.26:2) &&
	image_config "$work/conf" "[upper]" "type = disk" "device = PARTLABEL=upper" "prepare = format" "[image]" "name = appliance" \
		"[modules]" "load = vfat nls_cp437 nls_ascii" &&
	initrd=$(image_initrd 6.12 "$work/conf") &&
	for uki in first next; do
		"$underlay" uki build -o "$work/$uki.efi" --kernel "$(cache_kernel 6.12)" --initrd "$initrd" \
			--cmdline "$qemu_cmdline appliance.scenario=disk appliance.uki=$uki" >/dev/null || exit 1
	done && "$underlay" disk build -o "$work/disk" --image "$one" --uki "$work/first.efi" --boot-loader "$loader" \
	--slot-size 256M >/dev/null || { echo "not ok - images, UKIs and a disk are made" && exit 1; }

start update-first update "$two" 5 2
tap "release 1 was started" grep -q 'verify: appliance 1.0 on /dev/vda2: root hash' "$work/update-first.said"
tap_is "release 2 lies beside it" "$(disk_part "$work/disk" 2 name) $(disk_part "$work/disk" 5 name)" "appliance_1.0 appliance_2.0"
dd if="$work/disk" of="$work/esp" bs=512 skip="$(disk_part "$work/disk" 1 start)" count="$(disk_part "$work/disk" 1 size)" status=none
tap "the ESP is a FAT without fault" fsck.vfat -n "$work/esp"
tap_is "with both UKIs, of which the firmware's loader counts one down" \
	"$(mdir -b -i "$work/esp" ::/EFI/Linux | sort | tr '\n' ' ')" "::/EFI/Linux/appliance_1.0+2-1.efi ::/EFI/Linux/appliance_2.0+3.efi "
mcopy -n -i "$work/esp" ::/EFI/Linux/appliance_2.0+3.efi "$work/got"
tap "the new one whole" same "$work/got" "$work/next.efi"
start update-second updated "$one" 2 5
tap "release 2 was started" grep -q 'verify: appliance 2.0 on /dev/vda5: root hash' "$work/update-second.said"
tap "by its own UKI" grep -q 'appliance.uki=next' "$qemu_dir/update-second.console"
tap "the upper is the same" grep -q 'underlay: upper: ext4 on [^,]*$' "$work/update-second.said"
tap_end
