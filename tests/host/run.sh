#!/usr/bin/env bash
# `underlay run`: the command line that QEMU gets, what is made for it, what is refused. tests/qemu/disk.sh starts one.
set -u
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache sealed; do
	. "tests/lib/$lib.sh"
done
underlay=$(realpath "${UNDERLAY:-build/underlay}")
dir=$(mktemp -d)
tap_at_exit 'chmod -R u+w "$dir"; rm -rf "$dir"'
identity seal && make_store && kernel=$(cache_kernel 6.12) && build "$dir/image" 1.0 && build "$dir/large" 1.0 --sector-size 4096 &&
	build "$dir/arm" 1.0 --machine aarch64 && build "$dir/riscv" 1.0 --machine riscv64 && cp "$dir/image" "$dir/initrd" &&
	"$underlay" uki build -o "$dir/uki" --kernel "$kernel" --initrd "$dir/initrd" >/dev/null &&
	"$underlay" disk build -o "$dir/disk" --image "$dir/image" --uki "$dir/uki" >/dev/null && cp "$dir/disk" "$dir/a,b" ||
	{ echo "not ok - images and a disk are made" && exit 1; }
# In the place of QEMU: it tells how it was called.
mkdir "$dir/bin"
printf '#!/bin/sh\nprintf "%%s\\n" "${0##*/}" "$@" >"%s/called"\nexit 7\n' "$dir" >"$dir/bin/qemu-system-x86_64"
chmod 755 "$dir/bin/qemu-system-x86_64"

words() { # OPTION...: the command line, in one line
	"$underlay" run --dry-run "$@" | tr '\n' ' '
}
has() { # NAME PATTERN OPTION...
	local name=$1 pattern=$2
	shift 2
	tap "$name" grep -qE -- "$pattern" <(words "$@")
}
lacking() {
	local name=$1 pattern=$2
	shift 2
	tap "$name" lacks -qE -- "$pattern" <(words "$@")
}

has "a disk is started by firmware" 'if=pflash.*OVMF_CODE.*if=pflash.*snapshot=on,file=.*OVMF_VARS.*file=.*/disk .*bootindex=1 ' "$dir/disk"
has "it is written to" 'id=disk,format=raw,discard=unmap,file=' "$dir/disk"
has "unless it must not be" 'id=disk,[^ ]*snapshot=on,file=' "$dir/disk" --snapshot
has "an image beside a UKI is not" 'id=disk,[^ ]*readonly=on.* -kernel u.efi $' "$dir/image" --uki u.efi
has "a kernel starts without firmware" '-kernel k -initrd i -append console=ttyS0 quiet $' "$dir/image" --kernel k --initrd i --cmdline quiet
lacking "really" pflash "$dir/image" --kernel k --initrd i
has "sectors of 4096 bytes" 'logical_block_size=4096,physical_block_size=4096' "$dir/large" --uki u.efi
has "another architecture" '^qemu-system-aarch64 -machine virt .*AAVMF' "$dir/arm" --uki u.efi
has "which no KVM of this one runs" '-accel tcg' "$dir/arm" --uki u.efi
has "no KVM where none is wanted" '-accel tcg -cpu max' "$dir/disk" --no-kvm
has "Secure Boot" 'q35,smm=on .*property=secure.*OVMF_CODE[^ ]*secboot' "$dir/disk" --secure-boot
has "memory and processors" '-m 512M -smp 3 ' "$dir/disk" -m 512M --cpus 3
has "a TPM" "socket,id=tpm,path=$dir/bin/swtpm-sock .*tpm-tis,tpmdev=tpm0" "$dir/disk" --tpm "$dir/bin"
has "a comma in a name" 'file=[^ ]*/a,,b ' "$dir/a,b"

PATH=$dir/bin:$PATH "$underlay" run "$dir/disk" --upper "$dir/upper" --upper-size 32M --variables "$dir/vars" >"$dir/out" 2>&1
tap_is "QEMU's status is ours" $? 7
tap "it was called as it is told" same_output "cat '$dir/called'" \
	"'$underlay' run --dry-run '$dir/disk' --upper '$dir/upper' --variables '$dir/vars'"
tap_is "the upper's file is made" "$(stat -c %s "$dir/upper")" $((32 << 20))
tap "the variables' too" same "$dir/vars" /usr/share/OVMF/OVMF_VARS_4M.fd
echo kept >"$dir/upper" && echo kept >"$dir/vars"
PATH=$dir/bin:$PATH "$underlay" run "$dir/disk" --upper "$dir/upper" --variables "$dir/vars" >"$dir/out" 2>&1
tap_is "what is there stays" "$(cat "$dir/upper" "$dir/vars")" "kept
kept"
tap_none "a dry run makes nothing" find "$dir" -name 'new*'
words "$dir/disk" --upper "$dir/new" --variables "$dir/new-vars" >/dev/null
tap_none "nor then" find "$dir" -name 'new*'

(cd "$dir" && cp image x:y && words x:y --upper u:v --kernel k --initrd i) >"$dir/out"
tap "a colon in a name is no protocol of QEMU's" grep -q 'file=\./x:y .*file=\./u:v ' "$dir/out"
has "a comma in the TPM's directory" 'tpm,path=a,,b/swtpm-sock ' "$dir/disk" --tpm a,b
for option in "--memory 0" "--memory 512K" "--upper-size 0"; do
	tap "$option" fails 2 'is not a size of 1M or more' "$underlay" run --dry-run "$dir/image" $option
done
tap "an upper that cannot be so large" fails 3 'File too large' \
	sh -c "ulimit -f 1000; trap '' XFSZ; '$underlay' run '$dir/disk' --upper '$dir/huge' --upper-size 1G"
tap_none "is not left behind" find "$dir" -name huge

tap "no table" fails 1 'it has no partition table' "$underlay" run --dry-run "$dir/registration"
tap "an image by itself, which firmware does not start" fails 1 'it has no EFI system partition.* Give --uki, or --kernel and --initrd' \
	"$underlay" run --dry-run "$dir/image"
tap "no such machine" fails 1 'it is for riscv64, which is not a machine that this starts' "$underlay" run --dry-run "$dir/riscv"
tap "a kernel without its initramfs" fails 2 'initrd' "$underlay" run --dry-run "$dir/image" --kernel k
tap "a UKI and a kernel" fails 2 'kernel' "$underlay" run --dry-run "$dir/image" --uki u --kernel k --initrd i
tap "a kernel under Secure Boot" fails 2 'a kernel is started without firmware' "$underlay" run --dry-run "$dir/image" --kernel k --initrd i --secure-boot
mkdir "$dir/empty"
tap "no QEMU" fails 3 'Install QEMU' env PATH="$dir/empty" "$underlay" run "$dir/disk"
tap_end
