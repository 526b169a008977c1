#!/usr/bin/env bash
# `underlay update`: another image into a slot. What lies on the disk afterwards, what is refused with the disk as it
# was, and what an update leaves that is killed at any of its writes.
set -u
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache sealed disk layers; do
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
	rm -rf "$dir"
}
tap_at_exit cleanup

signed=(--key "$dir/seal.key" --cert "$dir/seal.crt")
image() { # NAME VERSION ARGUMENT...
	build "$dir/$1" "$2" "${signed[@]}" "${@:3}"
}
{
	kernel=$(cache_kernel 6.12) && identity seal && identity stranger && make_store && image 1.0 1.0 --rollback-index 3 &&
		image 1.1 1.1 --rollback-index 3 && image 1.2 1.2 --rollback-index 3 && image low 1.9 --rollback-index 2 &&
		image arm 1.9 --machine aarch64 && image rootfs 1.9 --designator root && build "$dir/unsigned" 1.9 &&
		build "$dir/strange" 1.9 --key "$dir/stranger.key" --cert "$dir/stranger.crt" &&
		image twin 1.2 --format squashfs && image 0.9 0.9 && image new 2.0 --rollback-index 3 &&
		head -c 4000000 /dev/urandom >"$dir/initrd" &&
		"$underlay" uki build -o "$dir/uki" --kernel "$kernel" --initrd "$dir/initrd" &&
		"$underlay" disk build -o "$dir/fresh" --image "$dir/1.0" --uki "$dir/uki" --slot-size 6M --upper-size 8M
} >"$dir/out" 2>&1 || { report 1 "images and a disk are made" && exit 1; }
mkdir "$dir/src/big" && head -c 9000000 /dev/urandom >"$dir/src/big/random"
big=$(nix-store --store "$dir/root" --add "$dir/src/big" 2>/dev/null) && [ -n "$big" ]
nix-store --store "$dir/root" --dump-db >"$dir/registration" 2>/dev/null
image large 1.9 || { report 1 "a large image is made" && exit 1; }
"$underlay" image build -o "$dir/other" --name other --version 1.9 --system "$system" --registration "$dir/registration" \
	--closure "$system" --store "$dir/root/nix/store" "${signed[@]}" >"$dir/out" 2>&1 || { report 1 "another image is made" && exit 1; }

update() { # DISK IMAGE OPTION...
	"$underlay" update "$dir/$2" --disk "$dir/$1" --cert "$dir/seal.crt" "${@:3}"
}
# What a disk's slots are called.
labels() {
	sfdisk --json "$dir/$1" | jq -r '[.partitiontable.partitions[].name] | join(" ")'
}
# What the boot would try first.
newest() {
	"$underlay" disk show --json "$dir/$1" | jq -r '[.parts[] | select(.newest) | .name + " " + .version] | join(" ")'
}
copy() {
	cp --sparse=always "$dir/$1" "$dir/$2"
}

# ---- an update ----

copy fresh disk
tap "the free slot is written" update disk 1.1
tap_is "and has the image's name" "$(labels disk)" "esp demo_1.0 demo_1.0 demo_1.0 demo_1.1 demo_1.1 demo_1.1 trials upper"
tap "every block of both is right" "$underlay" image verify "$dir/disk" --cert "$dir/seal.crt" --seal-only
tap "sfdisk finds no fault" sfdisk --verify -q "$dir/disk"
hash=$("$underlay" image inspect --json "$dir/1.1" | jq -r '.slots[0].rootHash')
tap_is "the UUIDs are the root hash's" "$(disk_part "$dir/disk" 5 uuid | tr -d - | tr A-F a-f) $(disk_part "$dir/disk" 6 uuid | tr -d - | tr A-F a-f)" \
	"${hash:0:32} ${hash:32:32}"
tap_is "as are the signature's and the flags, where an image has them" \
	"$(sfdisk --json "$dir/disk" | jq -c '.partitiontable.partitions[4:7] | map([.uuid, .attrs])')" \
	"$(sfdisk --json "$dir/1.1" | jq -c '.partitiontable.partitions | map([.uuid, .attrs])')"
tap_is "the boot tries it first" "$(newest disk)" "demo 1.1"
before=$(sha256sum <"$dir/disk")
tap "the same once more" update disk 1.1
tap_is "changes nothing" "$(sha256sum <"$dir/disk")" "$before"
tap "trying one out" update disk 1.2 --dry-run
tap_is "changes nothing either" "$(sha256sum <"$dir/disk")" "$before"
tap "the next one" update disk 1.2
tap_is "takes the place of the oldest" "$(labels disk)" "esp demo_1.2 demo_1.2 demo_1.2 demo_1.1 demo_1.1 demo_1.1 trials upper"
tap "every block of both is right again" "$underlay" image verify "$dir/disk" --cert "$dir/seal.crt" --seal-only
tap "an older one by demand" update disk 1.0 --allow-older
tap_is "takes the place of the oldest, too" "$(labels disk)" "esp demo_1.2 demo_1.2 demo_1.2 demo_1.0 demo_1.0 demo_1.0 trials upper"
tap_is "as JSON" "$(update disk 1.1 --allow-older --json | jq -c '[.result, .name, .version, .slot, .before, .resumed]')" \
	'["written","demo","1.1",5,"demo 1.0",false]'
copy fresh named
tap "a slot that is named" update named 1.1 --slot 5
tap_is "is written" "$(newest named)" "demo 1.1"
copy fresh from && update from 1.1 >/dev/null && "$underlay" disk build -o "$dir/one" --image "$dir/1.2" --uki "$dir/uki" >/dev/null
tap "from a disk with one image" update from one
tap_is "the same is read" "$(newest from)" "demo 1.2"

# ---- which slot ----

copy disk damaged && flip "$dir/damaged" $(($(disk_part "$dir/damaged" 4 start) * 512 + 40))
tap "a slot that would not be started goes first, also the newest" update damaged 1.1 --allow-older --slot 2
copy disk damaged && flip "$dir/damaged" $(($(disk_part "$dir/damaged" 4 start) * 512 + 40)) &&
	tap "by itself" update damaged 1.0 --allow-older
tap_is "and the good one stays" "$(labels damaged)" "esp demo_1.0 demo_1.0 demo_1.0 demo_1.1 demo_1.1 demo_1.1 trials upper"
# As systemd-sysupdate leaves a slot that it was cut off from: the hash tree has its name already.
copy fresh half && sfdisk -q --part-label "$dir/half" 6 demo_1.1 && sfdisk -q --part-label "$dir/half" 7 demo_1.1
tap "a slot that another updater left half-way" update half 1.1
tap_is "is whole then" "$(newest half)" "demo 1.1"

# ---- what is refused, with the disk as it was ----

refuses() { # DISK NAME STATUS PATTERN ARGUMENT...
	local before
	before=$(sha256sum <"$dir/$1")
	tap "$2: refused" fails "$3" "$4" "$underlay" update "${@:5}"
	tap_is "$2: the disk is as it was" "$(sha256sum <"$dir/$1")" "$before"
}
cert=(--cert "$dir/seal.crt")
refuse() { # NAME STATUS PATTERN IMAGE ARGUMENT...: on a disk with 1.2 and 1.1
	refuses disk "$1" "$2" "$3" "$dir/$4" --disk "$dir/disk" "${cert[@]}" "${@:5}"
}
flipped() { # NAME WHICH OFFSET: 1.2 anew with a bit that is another
	cp "$dir/new" "$dir/$1" && flip "$dir/$1" $(($(start_of "$dir/$1" "$2") + $3))
}
flipped bad-tree verity 5000 && flipped bad-sig verity-sig 300
cp "$dir/new" "$dir/no-table" && dd if=/dev/zero of="$dir/no-table" bs=4096 count=8 conv=notrunc status=none &&
	truncate -s -1M "$dir/no-table"
head -c 4000000 "$dir/new" >"$dir/short"
refuse "an older one" 1 'has demo 1\.2 \(partition 2\), which is newer.*--allow-older' 1.0
refuse "another one of the same version" 1 'has another image that is demo 1\.2, too \(partition 2\)' twin
refuse "one that is not signed" 1 'not signed|signature' unsigned
refuse "one that somebody else signed" 1 'stranger|not trusted|trusted' strange
refuse "a wrong signature" 1 'signature' bad-sig
refuse "a rollback index below the floor" 1 'rollback index' low --rollback-min 3
refuse "another machine's" 1 'no slot for an image of this machine' arm
refuse "another designator's" 1 'no slot for an image of this machine' rootfs
refuse "another name" 1 'images are called demo, and this one other.*--slot' other
refuse "a name that is not demanded" 1 'name' new --name thing
refuse "one that is too large" 1 'needs [0-9]+ and [0-9]+ bytes; by data partition: 2: too small \(6291456 and' large
refuse "no image" 1 '' uki
refuse "no table" 1 'partition table' no-table
refuse "a file that ends too soon" 1 '' short
refuse "a file that is not there" 3 'No such file' nothing
refuse "a slot that is none" 1 'partition 3 is not the data partition of a slot' new --slot 3
refuse "the upper's partition" 1 'partition 9 is not the data partition of a slot' new --slot 9
refuses disk "no certificate" 1 'holds none' "$dir/new" --disk "$dir/disk" --certs "$dir/src"
refuse "two ways to trust" 2 'exclude each other' new --certs "$dir"
refuses disk "the disk itself" 1 'holds 2 store images, not one' "$dir/disk" --disk "$dir/disk" "${cert[@]}"
refuses fresh "the disk that is the image, too" 1 'the image itself' "$dir/fresh" --disk "$dir/fresh" "${cert[@]}"
"$underlay" disk build -o "$dir/single" --image "$dir/1.0" --uki "$dir/uki" --slots 1 --upper-size 8M >/dev/null
refuses single "the only image" 1 '2: the only image' "$dir/1.1" --disk "$dir/single" "${cert[@]}"
refuses single "also by its number" 1 '2: the only image' "$dir/1.1" --disk "$dir/single" "${cert[@]}" --slot 2
copy damaged alone && flip "$dir/alone" $(($(disk_part "$dir/alone" 4 start) * 512 + 40))
refuses alone "the only one that would be started" 1 '5: the only image that would be started' "$dir/new" --disk "$dir/alone" "${cert[@]}" --slot 5
copy disk flagged && sfdisk -q --part-attrs "$dir/flagged" 2 GUID:63 && sfdisk -q --part-attrs "$dir/flagged" 5 GUID:63
refuses flagged "slots that were taken out of use" 1 'no slot for an image of this machine' "$dir/new" --disk "$dir/flagged" "${cert[@]}"
refuses uki "a disk without a table" 1 'no partition table' "$dir/new" --disk "$dir/uki" "${cert[@]}"
refuses disk "a disk that is not there" 3 'No such file' "$dir/new" --disk "$dir/nothing" "${cert[@]}"
refuses disk "a directory" 3 'directory' "$dir/new" --disk "$dir" "${cert[@]}"
tap "no disk at all, on a machine that Underlay did not boot" fails 3 'not started by underlay-init\. Name the disk by --disk' "$underlay" update "$dir/new" "${cert[@]}"
before=$(sha256sum <"$dir/disk")
tap "a disk that another program changes" fails 3 'another program changes it' flock "$dir/disk" "$underlay" update "$dir/new" --disk "$dir/disk" "${cert[@]}"
tap_is "is as it was" "$(sha256sum <"$dir/disk")" "$before"

# ---- an image that turns bad half-way ----

good_slot() { # DISK N: what is in the three partitions from number N on
	local n
	for n in 0 1 2; do
		dd if="$dir/$1" bs=512 skip="$(disk_part "$dir/$1" $(($2 + n)) start)" count="$(disk_part "$dir/$1" $(($2 + n)) size)" status=none
	done | sha256sum
}
last=$(($("$underlay" image inspect --json "$dir/new" | jq '.partitions[0].size') - 4096))
flipped bad-first data 70000 && flipped bad-last data "$last"
for bad in bad-tree bad-first bad-last; do
	copy disk turning
	before=$(good_slot disk 2)
	tap "$bad: refused" fails 1 'does not match' "$underlay" update "$dir/$bad" --disk "$dir/turning" "${cert[@]}"
	tap_is "$bad: the other slot is whole" "$(good_slot turning 2)" "$before"
	tap_is "$bad: and is what the boot tries" "$(newest turning)" "demo 1.2"
	tap_is "$bad: the slot has no name" "$(labels turning)" "esp demo_1.2 demo_1.2 demo_1.2 _empty _empty _empty trials upper"
	tap "$bad: the good image" update turning new
	tap_is "$bad: comes into its place" "$(newest turning)" "demo 2.0"
done

# ---- from standard input ----

copy fresh base && update base 1.1 >/dev/null

stream() { # DISK IMAGE OPTION...
	"$underlay" update - --disk "$dir/$1" "${cert[@]}" "${@:3}" <"$dir/$2"
}
piped() { # DISK IMAGE OPTION...
	set -o pipefail
	dd if="$dir/$2" bs=64k status=none | "$underlay" update - --disk "$dir/$1" "${cert[@]}" "${@:3}"
}
copy base whole && update whole new >/dev/null
copy base piped
tap "an image that comes by a pipe" piped piped new
tap "makes the same disk as its file" cmp "$dir/piped" "$dir/whole"
tap "and is not written twice" stream piped new
tap "nor changes anything" cmp "$dir/piped" "$dir/whole"
copy base piped && head -c 3000000 "$dir/new" >"$dir/first-part"
tap "one that ends too soon" fails 1 'ends too soon' stream piped first-part
tap_is "leaves a slot without a name" "$(labels piped)" "esp _empty _empty _empty demo_1.1 demo_1.1 demo_1.1 trials upper"
tap_is "and goes on" "$(stream piped new --json | jq -c '[.result, .resumed, .kept > 2000000]')" '["written",true,true]'
tap "to the same disk" cmp "$dir/piped" "$dir/whole"
for bad in bad-tree bad-first bad-last bad-sig; do
	copy base piped
	tap "$bad by a pipe: refused" fails 1 'does not match|does not cover|signature' stream piped "$bad"
	tap_is "$bad by a pipe: the slot has no name" "$(labels piped)" "esp _empty _empty _empty demo_1.1 demo_1.1 demo_1.1 trials upper"
	tap_is "$bad by a pipe: the other slot is whole" "$(good_slot piped 5)" "$(good_slot base 5)"
done
# A table that promises another image than the one that is signed.
cp "$dir/new" "$dir/renamed" && sfdisk -q --part-label "$dir/renamed" 1 demo_3.0
copy base piped
tap "one that is called otherwise than it is signed" fails 1 'what is signed is demo 2\.0, and its partition table says demo 3\.0' stream piped renamed
tap_is "has no name on the disk" "$(labels piped)" "esp _empty _empty _empty demo_1.1 demo_1.1 demo_1.1 trials upper"
for image in strange new; do
	"$underlay" image split "$dir/$image" -o "$dir/parts" --device /dev/x >"$dir/out" 2>&1 || report 1 "$image is split"
done
streams() { # NAME STATUS PATTERN IMAGE ARGUMENT...: refused with the disk as it was
	local before
	copy base piped && before=$(sha256sum <"$dir/piped")
	tap "$1 by a pipe: refused" fails "$2" "$3" stream piped "$4" "${@:5}"
	tap_is "$1 by a pipe: the disk is as it was" "$(sha256sum <"$dir/piped")" "$before"
}
streams "an older one" 1 'which is newer' 0.9
streams "another machine's" 1 'no slot for an image' arm
streams "one that is too large" 1 'too small' large
streams "no table" 1 'partition table' no-table
streams "no image" 1 'partition table|of a store image' uki
streams "nothing" 1 'ends after 0 bytes' /../../../dev/null
streams "a disk with two images" 1 'not the three of a store image' disk
streams "one whose signature, at hand as a file, is a stranger's" 1 'trusted' strange --seal "$dir"/parts/demo_1.9_*-verity-sig.raw
streams "one whose signature is another image's" 1 'what is signed is demo 2\.0' strange --seal "$dir"/parts/demo_2.0_*-verity-sig.raw
copy base piped
tap "a signature that is at hand as a file" stream piped new --seal "$dir"/parts/demo_2.0_*-verity-sig.raw
tap "is asked first, and the image comes all the same" cmp "$dir/piped" "$dir/whole"

# ---- its UKI ----

loader=/usr/lib/systemd/boot/efi/systemd-bootx64.efi
on_esp() { # DISK: the UKIs on it
	mdir -/ -b -i "$dir/$1@@1M" :: | grep -i '\.efi$' | grep -v systemd | sort | tr '\n' ' '
}
copy base plain && head -c 5000000 /dev/urandom >"$dir/initrd" &&
	"$underlay" uki build -o "$dir/uki-2" --kernel "$kernel" --initrd "$dir/initrd" >/dev/null
tap "an image with its UKI" update plain new --uki "$dir/uki-2"
mcopy -n -i "$dir/plain@@1M" ::/EFI/BOOT/BOOTX64.EFI "$dir/got"
tap "which is where the firmware looks" same "$dir/got" "$dir/uki-2"
tap_is "and nothing else is" "$(on_esp plain | tr "[:lower:]" "[:upper:]")" "::/EFI/BOOT/BOOTX64.EFI "
dd if="$dir/plain" of="$dir/esp" bs=1M skip=1 count=64 status=none
tap "the ESP is a FAT without fault" fsck.vfat -n "$dir/esp"
"$underlay" disk build -o "$dir/loaded" --image "$dir/1.0" --uki "$dir/uki" --boot-loader "$loader" --tries 2 --slot-size 6M --upper-size 8M >/dev/null
tap "on a disk with a boot loader" update loaded 1.1 --uki "$dir/uki-2" --tries 4
tap_is "beside the one that is there" "$(on_esp loaded)" "::/EFI/BOOT/BOOTX64.EFI ::/EFI/Linux/demo_1.0+2.efi ::/EFI/Linux/demo_1.1+4.efi "
tap_is "the next one, as JSON" "$(update loaded 1.2 --uki "$dir/uki-2" --tries 0 --json | jq -c '[.uki, .removedUkis]')" \
	'["EFI/Linux/demo_1.2.efi",["demo_1.0+2.efi"]]'
tap_is "takes away what has no image any more" "$(on_esp loaded)" "::/EFI/BOOT/BOOTX64.EFI ::/EFI/Linux/demo_1.1+4.efi ::/EFI/Linux/demo_1.2.efi "
tap "the same once more" update loaded 1.2 --uki "$dir/uki-2"
tap_is "has one UKI of that version" "$(on_esp loaded)" "::/EFI/BOOT/BOOTX64.EFI ::/EFI/Linux/demo_1.1+4.efi ::/EFI/Linux/demo_1.2+3.efi "
head -c 50000000 /dev/urandom >"$dir/initrd" && "$underlay" uki build -o "$dir/uki-3" --kernel "$kernel" --initrd "$dir/initrd" >/dev/null
refuses loaded "a UKI that has no room" 1 'has room for [0-9]+ bytes .* needs [0-9]+' "$dir/new" --disk "$dir/loaded" "${cert[@]}" --uki "$dir/uki-3"
refuses disk "a UKI that is none" 1 '' "$dir/new" --disk "$dir/disk" "${cert[@]}" --uki "$dir/initrd"
copy base without && sfdisk -q --part-type "$dir/without" 1 0FC63DAF-8483-4772-8E79-3D69D8477DE4
refuses without "a UKI where there is no ESP" 1 'no EFI system partition' "$dir/new" --disk "$dir/without" "${cert[@]}" --uki "$dir/uki-2"
refuses disk "tries of no UKI" 2 'tries' "$dir/new" --disk "$dir/disk" "${cert[@]}" --tries 2
refuses disk "a seal of no stream" 2 'seal' "$dir/new" --disk "$dir/disk" "${cert[@]}" --seal "$dir/new"

# ---- on a device ----

copy fresh device && loop=$(losetup --find --show "$dir/device") && loops+=("$loop")
tap "on a device" "$underlay" update "$dir/1.1" --disk "$loop" "${cert[@]}"
tap "every block is right" "$underlay" image verify "$loop" --cert "$dir/seal.crt" --seal-only
"$underlay" disk build -o "$dir/of-4096" --image "$dir/1.0" --uki "$dir/uki" --sector-size 4096 --upper-size 8M >/dev/null
loop=$(losetup --find --show --sector-size 4096 "$dir/of-4096") && loops+=("$loop")
tap "on a disk with sectors of 4096 bytes" "$underlay" update "$dir/1.1" --disk "$loop" "${cert[@]}"
tap "every block is right there, too" "$underlay" image verify "$loop" --cert "$dir/seal.crt" --seal-only
tap "its file is a disk of the same kind" update of-4096 1.2

# ---- on a machine that was booted from the disk ----

# booted DISK HASH COMMAND...: with a state.json of the machine that says so.
booted() {
	jq -n --arg disk "$1" --arg hash "$2" '{format: 1, lowers: [{rootHash: $hash} + if $disk == "" then {share: "9p:x"} else {disk: $disk} end]}' >"$dir/state.json"
	# shellcheck disable=SC2016 # of the shell that is started
	unshare -m sh -c 'mkdir -p /run/underlay && mount -t tmpfs tmpfs /run/underlay && cp "$0" /run/underlay/state.json && exec "$@"' \
		"$dir/state.json" "${@:3}"
}
hash_of() {
	"$underlay" image inspect --json "$dir/$1" | jq -r '.slots[0].rootHash'
}
copy base machine && loop=$(losetup --find --show "$dir/machine") && loops+=("$loop")
tap "the slot that runs is not written, not even by its number" fails 1 '2: it runs' \
	booted "$loop" "$(hash_of 1.0)" "$underlay" update "$dir/new" "${cert[@]}" --slot 2
tap "the older one runs, after a way back: the other is written" booted "$loop" "$(hash_of 1.0)" "$underlay" update "$dir/new" "${cert[@]}"
tap_is "though it was the newer one" "$(labels machine)" "esp demo_1.0 demo_1.0 demo_1.0 demo_2.0 demo_2.0 demo_2.0 trials upper"
tap "another disk has nothing that runs" booted "$loop" "$(hash_of 1.0)" "$underlay" update "$dir/new" "${cert[@]}" --disk "$dir/base" --dry-run
tap "a machine that boots an image file" fails 1 'booted from an image file, which has no slots.*beside it' \
	booted "$dir/1.0" "$(hash_of 1.0)" "$underlay" update "$dir/new" "${cert[@]}"
tap "a machine that boots a share" fails 1 'names no disk' booted "" "" env "$underlay" update "$dir/new" "${cert[@]}"

# ---- killed at any of its writes ----

# The first slot is as it was, what the boot would try is the old image or the new one, whole, and one of the table's
# copies is there to say so. (`image verify` rightly calls a disk bad where the other copy is not.)
state_is_right() {
	local now
	now=$(newest cut) && [ "$(good_slot cut 5)" = "$kept" ] || return
	case $now in
	"demo 1.1") return 0 ;;
	"demo 2.0") [ "$(good_slot cut 2)" = "$new" ] ;;
	*) return 1 ;;
	esac
}
kept=$(good_slot base 5) new=$(good_slot whole 2)
points=0 wrong=0 unlike=0 resumed=0
for call in pwrite64 write; do
	for ((n = 1; n < 100; n++)); do
		copy base cut
		layers_cut "$call" "$n" "$underlay" update "$dir/new" --disk "$dir/cut" "${cert[@]}" --threads 1 || break
		points=$((points + 1))
		state_is_right >"$dir/out" 2>&1 || wrong=$((wrong + 1))
		update cut new --json >"$dir/again" 2>&1 || wrong=$((wrong + 1))
		resumed=$((resumed + $(jq 'select(.kept > 0) | 1' "$dir/again" | wc -l)))
		cmp -s "$dir/cut" "$dir/whole" || unlike=$((unlike + 1))
	done
done
tap "it was killed at $points of its writes" [ "$points" -ge 10 ]
tap_is "what starts is whole at each" "$wrong" 0
tap_is "and the same command makes what it would have made" "$unlike" 0
tap "at $resumed of them it went on where it was" [ "$resumed" -ge 3 ]
tap_end
