#!/usr/bin/env bash
# Disks that boot by themselves: what `underlay disk build` makes is started by UEFI firmware alone, from each kind of
# disk, and keeps its upper's filesystem.
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache appliance qemu image verdict disk sysupdate; do
	. "tests/lib/$lib.sh"
done
work=$qemu_dir/disk
rm -rf "$work"
mkdir -p "$work"
kernel=$(cache_kernel 6.12) || exit 1
no_keys=/usr/share/OVMF/OVMF_VARS_4M.fd # Secure Boot is off
upper=("[upper]" "type = disk" "device = PARTLABEL=upper" "prepare = format")

# uki NAME CONFIG-LINE...
uki() {
	local name=$1 initrd
	shift
	image_config "$work/$name.conf" "${upper[@]}" "$@"
	initrd=$(image_initrd 6.12 "$work/$name.conf") &&
		"$underlay" uki build -o "$work/$name.efi" --kernel "$kernel" --initrd "$initrd" \
			--cmdline "$qemu_cmdline appliance.scenario=hello" >/dev/null
}

# disk NAME UKI OPTION...
disk() {
	local name=$1 uki=$2
	shift 2
	"$underlay" disk build -o "$work/$name.disk" --image "$image" --uki "$uki" "$@"
}

# boot NAME BUS SECTOR
boot() {
	qemu_boot_disk "$1" "$work/$1.disk" "$2" "$3" 180
	tr -d '\r' <"$qemu_dir/$1.console" | grep -o 'underlay: .*' >"$work/$1.said"
}

# started NAME BUS SECTOR: twice, the second time with what the first start left.
started() {
	local name=$1 bus=$2 sector=$3
	boots "$name" "$bus" "$sector"
	tap "$name: the upper's filesystem is made" grep -q 'underlay: upper: ext4 on .*, made just now$' "$work/$name.said"
	boots "$name" "$bus" "$sector"
	tap "$name: it is kept" grep -q 'underlay: upper: ext4 on [^,]*$' "$work/$name.said"
	tap "$name: the kernel finds no fault with the table" lacks -q 'GPT:' "$qemu_dir/$name.console"
}

# whole NAME BUS SECTOR UKI OPTION...: made and started.
whole() {
	local name=$1 bus=$2 sector=$3 uki=$4
	shift 4
	tap "$name: the disk is made" disk "$name" "$uki" --sector-size "$sector" "$@"
	started "$name" "$bus" "$sector"
}

# By `underlay install`, on a disk that does not end on a whole MiB: its table lies at its very end.
installed() {
	local name=$1 bus=$2 sector=$3
	truncate -s $((700 * 1048576 + 3 * sector)) "$work/$name.disk"
	tap "$name: it is installed" "$underlay" install "$work/$name.disk" --sector-size "$sector" --image "$image" \
		--uki "$work/plain.efi" --boot-loader /usr/lib/systemd/boot/efi/systemd-bootx64.efi
	started "$name" "$bus" "$sector"
}

# The firmware knows the key that signed the UKI, and no other.
secure() {
	whole "$@"
	tap "$1: Secure Boot was on" grep -q 'UEFI Secure Boot is enabled' "$qemu_dir/$1.console"
}

# `underlay run`, by its defaults; what it prints is the machine's console.
run() {
	local name=$1
	disk "$name" "$work/plain.efi" >/dev/null
	(
		qemu_take_slot
		timeout 180 "$underlay" run --snapshot --upper "$work/$name.upper" --upper-size 64M "$work/$name.disk" \
			</dev/null >"$work/$name.said" 2>&1 8>&-
	)
	report $? "$name: the machine ran, and powered off"
	tap "$name: the system was started" grep -qa 'underlay: pivot: starting /nix/store/' "$work/$name.said"
	tap "$name: the second disk is there" grep -qa 'virtio_blk virtio[0-9]*: \[vdb\] 131072 512-byte' "$work/$name.said"
	disk "$name.again" "$work/plain.efi" >/dev/null
	tap "$name: and nothing of it stays" same "$work/$name.disk" "$work/$name.again.disk"
}

# uapi-group/specifications#167: one image in both slots, whose UUIDs and labels are there twice; a slot that is damaged
# takes the other one's partitions along in no way.
twice() {
	local name=$1 n
	disk "$name" "$work/plain.efi" >/dev/null && disk_install "$work/$name.disk" 5 "$image"
	report $? "$name: one image lies in both slots"
	for n in 3 2; do
		disk_wipe "$work/$name.disk" $n
		boots "$name" virtio 512
		tap "$name: partition $n is lost, and the other slot starts" grep -q 'underlay: verify: appliance 1.0 on /dev/vda5: root hash' "$work/$name.said"
	done
}

# Debian's systemd-sysupdate put release 2 into the second slot.
updated() {
	local name=$1 release
	release=$(image_appliance 2.26:2) && disk "$name" "$work/plain.efi" --slot-size 256M >/dev/null &&
		"$underlay" image split "$release" -o "$work/$name.files" --device /dev/loop-underlay --source /mnt >/dev/null &&
		sysupdate "$work/$name.disk" "$work/$name.files" "$work/$name.esp" update >"$work/$name.log" 2>&1
	report $? "$name: systemd-sysupdate installs release 2"
	boots "$name" virtio 512
	tap "$name: it is what starts" grep -q 'underlay: verify: appliance 2.0 on /dev/vda5: root hash' "$work/$name.said"
}

image_keys && image=$(image_appliance 2.26) && uki plain "[image]" "name = appliance" &&
	uki file "[image]" "file = /store/appliance_*.raw" "file-device = PARTLABEL=esp" &&
	printf 'snakeoil\n' >"$work/passphrase" && cp "$work/plain.efi" "$work/signed.efi" &&
	"$underlay" uki sign "$work/signed.efi" --key $snakeoil.key --cert $snakeoil.pem \
		--passphrase-file "$work/passphrase" >/dev/null ||
	{ echo "not ok - image and UKIs are made" && exit 1; }
qemu_vars=$no_keys tap_case whole disk-virtio virtio 512 "$work/plain.efi"
qemu_vars=$no_keys tap_case whole disk-4096 virtio 4096 "$work/plain.efi"
qemu_vars=$no_keys tap_case whole disk-nvme nvme 512 "$work/plain.efi"
qemu_vars=$no_keys tap_case whole disk-loader virtio 512 "$work/plain.efi" \
	--boot-loader /usr/lib/systemd/boot/efi/systemd-bootx64.efi
qemu_vars=$no_keys tap_case whole disk-file virtio 512 "$work/file.efi" --layout file
qemu_vars=$no_keys tap_case installed disk-installed nvme 4096
tap_case run disk-run
qemu_vars=$no_keys tap_case updated disk-updated
qemu_vars=$no_keys tap_case twice disk-twice
tap_case secure disk-secure nvme 4096 "$work/signed.efi"
tap_cases
tap_end
