#!/usr/bin/env bash
# `underlay disk build` and `show`: what other programs find on the disk, that it is the same each time, whoever makes
# it, and what is refused. tests/qemu/disk.sh starts such disks.
set -u
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache sealed disk; do
	. "tests/lib/$lib.sh"
done
underlay=$(realpath "${UNDERLAY:-build/underlay}")
dir=$(mktemp -d)
loops=()
cleanup() {
	local loop
	for loop in "${loops[@]}"; do
		losetup -d "$loop"
	done
	chmod -R u+w "$dir"
	rm -rf "$dir"
}
tap_at_exit cleanup
kernel=$(cache_kernel 6.12) && identity seal && make_store && build "$dir/a.raw" 1.0 --key "$dir/seal.key" --cert "$dir/seal.crt" &&
	build "$dir/unsigned.raw" 1.1 && build "$dir/arm.raw" 1.0 --machine aarch64 && head -c 40000000 /dev/urandom >"$dir/initrd" &&
	"$underlay" uki build -o "$dir/uki" --kernel "$kernel" --initrd "$dir/initrd" >/dev/null ||
	{ echo "not ok - image and UKI are made" && exit 1; }
loader=/usr/lib/systemd/boot/efi/systemd-bootx64.efi

disk() { # NAME OPTION...
	local name=$1
	shift
	"$underlay" disk build -o "$dir/$name" --image "$dir/a.raw" --uki "$dir/uki" "$@"
}

part() { # DISK N FIELD
	disk_part "$dir/$1" "$2" "$3"
}

# bytes_of DISK N LENGTH: the beginning of a partition.
bytes_of() {
	dd if="$dir/$1" bs=1M iflag=skip_bytes,count_bytes skip=$(($(part "$1" "$2" start) * 512)) count="$3" status=none
}

# files_of DISK: what lies on its EFI system partition.
files_of() {
	mdir -/ -b -i "$dir/$1@@1M" :: | grep -v '/$' | sort
}

size_in() { # IMAGE N
	"$underlay" image inspect --json "$dir/$1" | jq ".partitions[$2].size"
}

# ---- what is on it ----

tap "a disk is made" disk one
tap "sfdisk finds no fault" sfdisk --verify -q "$dir/one"
tap_is "nine partitions, by label" "$(sfdisk --json "$dir/one" | jq -r '[.partitiontable.partitions[].name] | join(" ")')" \
	"esp demo_1.0 demo_1.0 demo_1.0 _empty _empty _empty trials upper"
for n in 1 2 3; do
	size=$(size_in a.raw $((n - 1)))
	bytes_of one $((n + 1)) "$size" >"$dir/got"
	dd if="$dir/a.raw" bs=1M iflag=skip_bytes,count_bytes skip="$("$underlay" image inspect --json "$dir/a.raw" |
		jq ".partitions[$((n - 1))].offset")" count="$size" status=none >"$dir/wanted"
	tap "partition $((n + 1)) begins with the image's" same "$dir/got" "$dir/wanted"
done
root_hash=$("$underlay" image inspect --json "$dir/a.raw" | jq -r '.slots[0].rootHash')
tap_is "the root hash gives the data's UUID" "$(part one 2 uuid | tr -d - | tr A-F a-f)" "${root_hash:0:32}"
tap_is "and that of the hash tree" "$(part one 3 uuid | tr -d - | tr A-F a-f)" "${root_hash:32:32}"
tap "the image on it verifies" "$underlay" image verify "$dir/one" --cert "$dir/seal.crt"
bytes_of one 1 $(($(part one 1 size) * 512)) >"$dir/esp"
tap "the ESP is a FAT without fault" fsck.vfat -n "$dir/esp"
tap_is "of 32 bits" "$(blkid -p -o value -s VERSION "$dir/esp")" FAT32
tap_is "and has the UKI" "$(files_of one)" "::/EFI/BOOT/BOOTX64.EFI"
mcopy -n -i "$dir/esp" ::/EFI/BOOT/BOOTX64.EFI "$dir/got"
tap "byte by byte" same "$dir/got" "$dir/uki"
tap "zeros are holes" [ "$(du -m "$dir/one" | cut -f 1)" -lt 80 ]
tap "with a boot loader" disk loaded --boot-loader "$loader" --tries 2
tap_is "that counts the UKI's tries" "$(files_of loaded | tr '\n' ' ')" \
	"::/EFI/BOOT/BOOTX64.EFI ::/EFI/Linux/demo_1.0+2.efi ::/EFI/systemd/systemd-bootx64.efi ::/loader/loader.conf "
tap "and without counting" disk uncounted --boot-loader "$loader" --tries 0
tap "the UKI's name has no number" grep -qx '::/EFI/Linux/demo_1.0.efi' <(files_of uncounted)
tap "the image as a file" disk filed --layout file
mcopy -n -i "$dir/filed@@1M" ::/store/demo_1.0.raw "$dir/got"
tap "is the image's" same "$dir/got" "$dir/a.raw"
tap_is "and there is no slot" "$(sfdisk --json "$dir/filed" | jq -r '[.partitiontable.partitions[].name] | join(" ")')" "esp trials upper"
tap "sizes as they are asked for" disk sized --size 2G --slots 3 --slot-size 100M --esp-size 100M
tap_is "the file's" "$(stat -c %s "$dir/sized")" $((2 << 30))
tap_is "the slots'" "$(part sized 2 size) $(part sized 5 size) $(part sized 8 size)" "204800 204800 204800"
tap_is "the upper has the rest, to the last MiB" $(($(part sized 12 start) + $(part sized 12 size))) $((2 * 1048576 * 2 - 2048))
tap "no upper" disk bare --upper-size 0 --slots 1
tap_is "is five partitions" "$(sfdisk --json "$dir/bare" | jq '.partitiontable.partitions | length')" 5
tap "an image that is not signed" "$underlay" disk build -o "$dir/plain" --image "$dir/unsigned.raw" --uki "$dir/uki"

# ---- the same each time ----

tap "made by another user, elsewhere, at another time" sh -c "chmod 755 '$dir' && mkdir -m 777 '$dir/theirs' && touch -d '2001-02-03' '$dir/uki' &&
	HOME=/nonexistent TZ=America/New_York setpriv --reuid 65534 --regid 65534 --clear-groups \
	'$underlay' disk build -o '$dir/theirs/one' --image '$dir/a.raw' --uki '$dir/uki'"
tap "is the same, byte by byte" same "$dir/one" "$dir/theirs/one"
tap "made of a disk" "$underlay" disk build -o "$dir/again" --image "$dir/one" --uki "$dir/uki"
tap "too" same "$dir/one" "$dir/again"
tap "an image of another version" "$underlay" disk build -o "$dir/other" --image "$dir/unsigned.raw" --uki "$dir/uki"
tap "has other identifiers" differ "$(sfdisk --json "$dir/one" | jq '.partitiontable.id')" "$(sfdisk --json "$dir/other" | jq '.partitiontable.id')"

# ---- names that mean something to mtools ----

mkdir "$dir/a@@1M" && cp "$dir/uki" "$dir/x:y" && cp "$dir/uki" "$dir/-x"
for name in x:y -x; do
	tap "a UKI that is called $name" sh -c "cd '$dir' && '$underlay' disk build -o named --force --image a.raw --uki='$name'"
	tap "gives the same" same "$dir/one" "$dir/named"
done
tap "a disk with @@ in its name" disk "a@@1M/b@@2M"
tap "is the same" same "$dir/one" "$dir/a@@1M/b@@2M"

# ---- sectors of 4096 bytes ----

attach() { # NAME SECTOR: sets $loop
	loop=$(losetup --find --show --read-only --sector-size "$2" "$dir/$1") && loops+=("$loop")
}
tap "a disk for sectors of 4096 bytes" disk large --sector-size 4096
attach large 4096
tap "sfdisk finds no fault on such a device" sfdisk --verify -q "$loop"
tap_is "nor in its places" "$(sfdisk --json "$loop" | jq -r '[.partitiontable.partitions[].start * 4096] | map(. % 1048576) | unique | join(" ")')" 0
tap "the image is found in the file" "$underlay" image verify "$dir/large" --cert "$dir/seal.crt"
tap "and on the device" "$underlay" image verify "$loop" --cert "$dir/seal.crt"
mkdir "$dir/large.d" && dd if="$dir/large" bs=1M skip=1 count=$(($(sfdisk --json "$loop" | jq '.partitiontable.partitions[0].size') / 256)) \
	of="$dir/esp" status=none
tap "its ESP, too, is a FAT without fault" fsck.vfat -n "$dir/esp"
cp "$dir/large" "$dir/lost" && printf '%08d' 0 | dd of="$dir/lost" bs=4096 seek=1 conv=notrunc status=none
tap "a file that lost its primary table is known by its backup" \
	grep -q 'sectors of 4096 bytes' <("$underlay" disk show "$dir/lost")
tap "which no check calls good" fails 1 'the primary copy of the GPT is damaged' "$underlay" image verify "$dir/lost" --cert "$dir/seal.crt"
attach one 4096
tap "a disk for other sectors is told as that" fails 1 'its table is for sectors of 512 bytes, the disk has sectors of 4096.*--sector-size' \
	"$underlay" disk show "$loop"
attach large 512
tap "also the other way" fails 1 'its table is for sectors of 4096 bytes, the disk has sectors of 512' "$underlay" disk show "$loop"
tap "an image for such disks" build "$dir/large.raw" 1.0 --sector-size 4096 --key "$dir/seal.key" --cert "$dir/seal.crt"
attach large.raw 4096
tap "verifies on one" "$underlay" image verify "$loop" --cert "$dir/seal.crt"
"$underlay" disk build -o "$dir/of-large" --image "$dir/large.raw" --uki "$dir/uki" >/dev/null
tap "and makes the same disk as any other" same "$dir/one" "$dir/of-large"

# ---- show ----

"$underlay" disk show "$dir/sized" >"$dir/shown"
tap "show draws it" grep -qE '^ \|[^|]*\|[^|]*\|[^|]*\|[^|]*\|tr[^|]*\|upper *\|$' "$dir/shown"
tap "show says what is tried first" grep -qE '^ +2  slot .* demo 1.0, [0-9]+ MiB used; tried first: no newer demo is here$' "$dir/shown"
read -r size used < <("$underlay" disk show "$dir/a.raw" | sed -nE 's/^ +1  slot +([0-9]+) MiB .*, ([0-9]+) MiB used.*/\1 \2/p')
tap "an image's partition, which ends within a MiB, has no more used than there is" test "${used:-none}" -le "${size:-none}"
tap "and what is empty" grep -qE '^ +5  slot +100 MiB .* empty$' "$dir/shown"
"$underlay" disk show "$dir/plain" >"$dir/shown"
tap "and what is not signed" grep -q 'demo 1.1; not startable: the image is not signed yet' "$dir/shown"
tap_is "show in JSON" "$("$underlay" disk show --json "$dir/one" | jq -c '[.parts[] | [.kind, .number, .empty, .version]]')" \
	'[["esp",1,null,null],["slot",2,false,"1.0"],["slot",5,true,null],["trials",8,null,null],["upper",9,null,null]]'
truncate -s 1G "$dir/bare" && sfdisk -q --relocate gpt-bak-std "$dir/bare" >/dev/null
tap_is "what is free" "$("$underlay" disk show --json "$dir/bare" | jq '[.parts[] | select(.kind == "free") | .size > 800000000] | tostring' -r)" "[true]"

# ---- two slots ----

"$underlay" disk build -o "$dir/both" --image "$dir/a.raw" --uki "$dir/uki" >/dev/null &&
	build "$dir/b.raw" 1.2 --key "$dir/seal.key" --cert "$dir/seal.crt" && disk_install "$dir/both" 5 "$dir/b.raw"
report $? "another version is put into the second slot"
tap "both verify" "$underlay" image verify "$dir/both" --cert "$dir/seal.crt"
hash_of() { "$underlay" image inspect --json "$dir/$1" | jq -r '.slots[0].rootHash'; }
for name in a.raw b.raw; do
	tap "and each by its root hash alone ($name)" "$underlay" image verify "$dir/both" --root-hash "$(hash_of $name)"
done
tap "a root hash that neither has is refused" fails 1 'root hash' "$underlay" image verify "$dir/both" --root-hash "$(printf '%064d' 0)"
"$underlay" disk show "$dir/both" >"$dir/shown"
tap "the newer one is tried first" grep -q '^ *5  slot .* demo 1.2, .*; tried first' "$dir/shown"
tap "not the older one" lacks -q '^ *2  slot .*tried first' "$dir/shown"
sfdisk -q --part-attrs "$dir/both" 5 GUID:63
"$underlay" disk show "$dir/both" >"$dir/shown"
tap "a slot with the flag \"no auto\" is out of use" grep -q '^ *5  slot .* out of use$' "$dir/shown"
tap "the other one is tried first then" grep -q '^ *2  slot .* demo 1.0, .*; tried first' "$dir/shown"
tap "inspect names the flag" grep -q '^ *5  usr-x86-64 .*(no auto: out of use)$' <("$underlay" image inspect "$dir/both")
cp "$dir/a.raw" "$dir/out.raw" && sfdisk -q --part-attrs "$dir/out.raw" 1 GUID:63
tap "an image with it is refused by the flag's name" fails 1 'the flag "no auto" takes one out' "$underlay" image verify "$dir/out.raw" --cert "$dir/seal.crt"
sfdisk -q --part-type "$dir/out.raw" 1 0FC63DAF-8483-4772-8E79-3D69D8477DE4
tap "the flag of a partition that is not a slot's is not to blame" fails 1 'no data partition with a hash partition beside it\.?$' \
	"$underlay" image verify "$dir/out.raw" --cert "$dir/seal.crt"
"$underlay" disk build -o "$dir/arms" --image "$dir/a.raw" --uki "$dir/uki" >/dev/null &&
	build "$dir/arm2.raw" 2.0 --machine aarch64 --key "$dir/seal.key" --cert "$dir/seal.crt" &&
	disk_install "$dir/arms" 5 "$dir/arm2.raw"
for k in 1 2 3; do
	sfdisk -q --part-type "$dir/arms" $((4 + k)) "$(disk_part "$dir/arm2.raw" "$k" type)"
done
tap_is "of images for two machines each has its first" \
	"$("$underlay" disk show "$dir/arms" | grep -c -E 'for usr-(x86-64|arm64); tried first')" 2
tap_is "and in JSON its machine" "$("$underlay" disk show --json "$dir/arms" |
	jq -c '[.parts[] | select(.kind == "slot") | [.architecture, .designator, .newest]]')" \
	'[["x86-64","usr",true],["arm64","usr",true]]'
"$underlay" disk build -o "$dir/twice" --image "$dir/a.raw" --uki "$dir/uki" >/dev/null && disk_install "$dir/twice" 5 "$dir/a.raw"
tap_is "one image in both slots: each has its own hash partition" \
	"$("$underlay" image inspect --json "$dir/twice" | jq '.slots | length')" 2
tap "and both verify" "$underlay" image verify "$dir/twice" --cert "$dir/seal.crt"

# ---- on a machine's disk that had something else ----

head -c "$(stat -c %s "$dir/one")" /dev/zero | tr '\0' '\377' >"$dir/used"
loop=$(losetup -f --show "$dir/used") && loops+=("$loop")
written() { # as the manual says
	local line
	line=$(grep '^dd if=demo.disk of=/dev/sdX ' cli/man/underlay-disk.1) || return
	line=${line/demo.disk/$dir/one}
	# shellcheck disable=SC2086 # words
	${line/\/dev\/sdX/$loop} status=none
}
tap "the manual's dd writes it over a used disk" written
tap "of which nothing is left" same "$dir/one" "$dir/used"

# ---- what is refused leaves nothing ----

image=$dir/a.raw uki=$dir/uki
refused() { # STATUS WHAT PATTERN OPTION...
	local status=$1 what=$2 pattern=$3
	shift 3
	tap "$what: is refused" fails "$status" "$pattern" "$underlay" disk build -o "$dir/refused" --image "$image" --uki "$uki" "$@"
	tap_none "$what: nothing is left" find "$dir" -name 'refused*'
}
refused 1 "slots too small" 'the slots have room for 1048576\. Make the slots larger by --slot-size' --slot-size 1M
refused 1 "a disk too small" 'it has 73400320 bytes, .* Make it larger by --size' --size 70M
refused 1 "an ESP too small" 'it would have 20971520 bytes; a FAT32 .* has [0-9]+ at least' --esp-size 20M
refused 1 "an ESP with no room" 'its files need' --esp-size 34M
uki=$image refused 1 "a UKI that is none" 'it does not start as a PE file does'
image=$uki refused 1 "an image that is none" 'it has no partition table'
uki=$loader refused 1 "a program that is no UKI" 'it has no kernel or no initramfs in it'
image=$dir/arm.raw refused 1 "an image for another machine" 'it is for x86-64, the image .*arm\.raw is for arm64. Give the two of one machine'
refused 1 "a boot loader that is none" 'it does not start as a PE file does' --boot-loader "$dir/seal.crt"
printf '\x64\xaa' | dd of="$dir/arm.efi" conv=notrunc bs=1 status=none \
	seek=$(($(cp "$loader" "$dir/arm.efi" && od -An -tu4 -j 60 -N 4 "$loader") + 4))
refused 1 "one for another machine" 'it is for arm64, the UKI is for x86-64' --boot-loader "$dir/arm.efi"
refused 3 "a boot loader that is not there" 'No such file' --boot-loader "$dir/nothing"
tap "what is there is not replaced" fails 3 'it exists already. Remove it, or give --force' disk one
tap "unless it may" disk one --force
mkdir "$dir/bin" && printf '#!/bin/sh\necho "no room" >&2; exit 1\n' >"$dir/bin/mcopy" && chmod 755 "$dir/bin/mcopy"
PATH=$dir/bin:$PATH refused 3 "a program that fails" 'mcopy: it ended with status 1: no room'
refused 2 "tries that nothing counts" 'boot-loader is missing: --tries needs it' --tries 5
tap "a size that is none" fails 2 'a size, as in 512M or 8G' disk refused --size 8X
tap_end
