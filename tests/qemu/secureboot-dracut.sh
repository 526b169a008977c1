#!/usr/bin/env bash
# UEFI with Secure Boot, a UKI whose initramfs is dracut's with the shipped module, a signed image, the default policy.
# It boots, and at once: without a partition of type root nobody waits for one. With one that somebody added to the disk
# with the ESP, which systemd-gpt-auto-generator would mount, or which root= names, nothing of that partition is read.
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache appliance qemu image debian; do
	. "tests/lib/$lib.sh"
done
work=$qemu_dir/secureboot-dracut
rm -rf "$work"
mkdir -p "$work/guest" "$work/root"/{proc,sys,dev,run,tmp,etc,var,root,bin,data,nix/.ro,nix/.rw,nix/store,nix/var}
printf 'snakeoil\n' >"$work/passphrase"
if ! image=$(image_appliance 2.26) || ! kernel=$(cache_kernel 6.12); then
	echo "not ok - image and kernel are made"
	exit 1
fi
image_config "$work/conf" "[database]" "mode = attach"
initrd=$(debian_initrd 6.12 "$work/conf") || { echo "not ok - the initramfs is made" && exit 1; }

# What the verified system sees of its root.
cat >"$work/guest/scenario.sh" <<'END'
say of-the-attacker "$(cat /etc/of-the-attacker 2>/dev/null || echo nothing)"
say root "$(awk '$2 == "/" { type = $3 } END { print type }' /proc/mounts)"
say state "$(tr -d ' \n' </run/underlay/state.json | grep -o '"root":{[^}]*}')"
say mounted "$(grep -c '^/dev/vda' /proc/mounts)"
END
mkfs.erofs --quiet "$work/guest.erofs" "$work/guest" >/dev/null 2>&1 || { echo "not ok - the guest's disk is made" && exit 1; }

# What somebody adds: whole enough for systemd and dracut to take it for a root.
echo ID=x >"$work/root/etc/os-release"
echo something >"$work/root/etc/of-the-attacker"
truncate -s 64M "$work/ext4"
mkfs.ext4 -q -F -d "$work/root" "$work/ext4" || { echo "not ok - the root partition is made" && exit 1; }

# boot NAME CMDLINE TABLE-LINE...: the disk with the ESP has these partitions besides; the second is what was added.
boot() {
	local name=$1 esp=$work/$1.esp disk=$work/$1.disk
	local -a qemu_start=(-machine "q35,sata=off,smm=on" -global driver=cfi.pflash01,property=secure,value=on
		-drive "if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
		-drive "if=pflash,format=raw,unit=1,file=$work/$1.vars"
		-drive "if=none,id=esp,format=raw,file=$disk" -device "virtio-blk-pci,drive=esp,bootindex=1")
	cp "$qemu_vars" "$work/$name.vars"
	"$underlay" uki build -o "$work/$name.efi" --kernel "$kernel" --initrd "$initrd/initrd" \
		--cmdline "$qemu_cmdline appliance.scenario=disk $2" >/dev/null &&
		"$underlay" uki sign "$work/$name.efi" --key $snakeoil.key --cert $snakeoil.pem \
			--passphrase-file "$work/passphrase" >/dev/null || return 1
	truncate -s 128M "$esp"
	mkfs.vfat "$esp" >/dev/null && mmd -i "$esp" ::EFI ::EFI/BOOT &&
		mcopy -i "$esp" "$work/$name.efi" ::EFI/BOOT/BOOTX64.EFI || return 1
	truncate -s 256M "$disk"
	printf '%s\n' 'label: gpt' 'size=128M, type=uefi' "${@:3}" | sfdisk -q "$disk" || return 1
	dd if="$esp" of="$disk" bs=1M seek=1 conv=notrunc,sparse status=none
	[ $# -lt 3 ] || dd if="$work/ext4" of="$disk" bs=1M seek=129 conv=notrunc,sparse status=none
	(
		qemu_memory=1536
		qemu_take_slot
		qemu_run "$name" 300 "$image" "$work/guest.erofs"
	)
	rm -f "$esp" "$disk" "$work/$name.efi" "$work/$name.vars"
}

# starts NAME CMDLINE TABLE-LINE...
starts() {
	local name=$1 results=$qemu_dir/$1.results console=$qemu_dir/$1.console
	if ! boot "$@"; then
		report 1 "$name: it is started"
		return
	fi
	sed -i '/BdsDxe: /d; /^EFI stub: /d; s/\r$//' "$results"
	tap "$name: Secure Boot was on" grep -aqi 'secureboot: Secure boot enabled' "$console"
	tap_is "$name: the scenario came to its end" "$(tail -n 1 "$results")" "end disk 0"
	tap_is "$name: what it has of the partition" "$(guest_says "$name" of-the-attacker)" nothing
	tap_is "$name: its root" "$(guest_says "$name" root)" tmpfs
	tap_is "$name: state.json says of it" "$(guest_says "$name" state)" '"root":{"from":"tmpfs","unsealed":[]}'
	tap_is "$name: how much of that disk is mounted" "$(guest_says "$name" mounted)" 0
	tap "$name: the partition was never mounted" lacks -aE 'EXT4-fs \(vda' "$console"
	tap "$name: nobody waited for it" lacks -aiE 'gpt.{1,4}auto.{1,4}root|Timed out waiting' "$console"
	[ "$(tail -n 1 "$results")" = "end disk 0" ] || qemu_show "$name"
}

tap_case starts dracut-uefi ""
tap_case starts dracut-gpt-auto "" "size=64M, type=4f68bce3-e8cd-4db1-96e7-fbcaf984b709, name=x"
tap_case starts dracut-root-parameter "root=PARTLABEL=x" "size=64M, type=4f68bce3-e8cd-4db1-96e7-fbcaf984b709, name=x"
tap_cases
tap_end
