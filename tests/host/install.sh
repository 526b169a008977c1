#!/usr/bin/env bash
# `underlay install`: what it makes on a disk or a file is what `disk build` makes of that size, whatever was there
# before; what is refused leaves every byte as it was; and a disk that was cut off at any write is empty, or whole. Loop
# devices are the disks, and partitions are added to them by hand, since the kernel that runs the tests may read no
# tables.
set -u
cd "$(dirname "$0")/../.." || exit 1
for lib in namespace tap cache sealed disk; do
	. "tests/lib/$lib.sh"
done
underlay=$(realpath "${UNDERLAY:-build/underlay}")
export TMPDIR=/dev/shm # thousands of syncs, which no real disk need do
dir=$(mktemp -d)
export TMPDIR=$dir/tmp
loops=()
detach() { # a partition that was added by hand would stay
	local n
	for n in 1 2 5; do
		delpart "$1" $n 2>/dev/null
	done
	losetup -d "$1"
}
cleanup() {
	local loop
	for loop in "${loops[@]}"; do
		detach "$loop"
	done
	chmod -R u+w "$dir"
	rm -rf "$dir"
}
tap_at_exit cleanup
mkdir "$TMPDIR"
kernel=$(cache_kernel 6.12) && identity seal && make_store && build "$dir/a.raw" 1.0 --fec --key "$dir/seal.key" --cert "$dir/seal.crt" &&
	build "$dir/b.raw" 1.2 --key "$dir/seal.key" --cert "$dir/seal.crt" && build "$dir/unsigned.raw" 1.1 &&
	build "$dir/arm.raw" 1.0 --machine aarch64 && head -c 1000000 /dev/urandom >"$dir/initrd" &&
	"$underlay" uki build -o "$dir/uki" --kernel "$kernel" --initrd "$dir/initrd" >/dev/null ||
	{ echo "not ok - image and UKI are made" && exit 1; }
loader=/usr/lib/systemd/boot/efi/systemd-bootx64.efi
inputs=(--image "$dir/a.raw" --uki "$dir/uki")

empty() { # NAME SIZE: a file of holes, where there was another one
	rm -f "$dir/$1" && truncate -s "$2" "$dir/$1"
}
# used NAME SIZE: a used disk, on which what was not written can be told from what was
used() {
	head -c "$2" /dev/zero | tr '\0' '\252' >"$dir/$1"
}
attach() { # NAME OPTION...: sets $loop
	local name=$1
	shift
	loop=$(losetup --find --show "$@" "$dir/$name") && loops+=("$loop")
}
wanted() { # SIZE OPTION...: the disk that it shall become is $dir/wanted
	local size=$1
	shift
	"$underlay" disk build --force -o "$dir/wanted" "${inputs[@]}" --size "$size" "$@" >/dev/null
}
table() { # DISK: as sfdisk has it, without the disk's name
	sfdisk -d "$1" | sed "s|^$1|disk|; /^device:/d; s|^disk *p*|disk|"
}
has_no_table() { # DISK
	local said
	said=$(blkid -p "$1")
	[ $? -eq 2 ] && [ -z "$said" ] && return 0
	echo "has_no_table: $1: $said" >&2
	return 1
}

# ---- what is made ----

size=$((100 << 20))
made() { # WHAT TARGET FILE SECTOR OPTION...
	local what=$1 target=$2 file=$3 sector=$4 arguments
	shift 4
	arguments=("$@")
	[ -b "$target" ] || arguments+=(--sector-size "$sector")
	tap "$what: it is installed" "$underlay" install "$target" "${inputs[@]}" "${arguments[@]}"
	wanted "$(stat -c %s "$file")" --sector-size "$sector" "$@"
	tap "$what: byte by byte what disk build makes" same "$file" "$dir/wanted"
}
options=("" "--slots 3 --slot-size 5M --upper-size 2M" "--boot-loader $loader --tries 2 --esp-size 70M" "--slots 1 --upper-size 0")
for option in "${options[@]}"; do
	read -ra words <<<"$option"
	empty file $size
	made "a file, ${option:-no option}" "$dir/file" "$dir/file" 512 "${words[@]}"
	empty disk $size && attach disk
	made "a disk, ${option:-no option}" "$loop" "$dir/disk" 512 "${words[@]}"
	detach "$loop" && unset "loops[-1]"
done
empty large 290M
made "a file for sectors of 4096 bytes" "$dir/large" "$dir/large" 4096
empty large 290M && attach large --sector-size 4096
made "a disk with sectors of 4096 bytes" "$loop" "$dir/large" 4096
tap "sfdisk finds no fault there" sfdisk --verify -q "$loop"
tap "other sectors than it has: is refused" fails 1 'it has sectors of 4096 bytes, not of 512' \
	"$underlay" install "$loop" "${inputs[@]}" --erase "$loop" --sector-size 512
empty file $size
tap_is "it says what it made" "$("$underlay" install "$dir/file" "${inputs[@]}")" \
	"$(wanted $size && "$underlay" disk build --force -o "$dir/file.wanted" "${inputs[@]}" --size $size | sed 's/file.wanted/file/')"
empty file $size
tap_is "also in JSON" "$("$underlay" install --json "$dir/file" "${inputs[@]}" | jq -c '[.size, .sectorSize, .name, .slots, .signed]')" \
	"[$size,512,\"demo\",2,true]"
tap "the image on it verifies" "$underlay" image verify "$dir/file" --cert "$dir/seal.crt"
empty file $((size + 3 * 512 + 5)) && "$underlay" install "$dir/file" "${inputs[@]}" >/dev/null
wanted $size
tap "a disk that does not end on a MiB has its table at its very end" sfdisk --verify -q "$dir/file"
tap_is "and the same partitions" "$(table "$dir/file" | grep -v last-lba)" "$(table "$dir/wanted" | grep -v last-lba)"
empty file $size
tap "an image that is not signed is told as that" grep -q 'the image is not signed' \
	<("$underlay" install "$dir/file" --image "$dir/unsigned.raw" --uki "$dir/uki")

# ---- over what was there ----

part() { # N FIELD
	disk_part "$dir/used" "$1" "$2"
}
same_bytes() { # OFFSET LENGTH
	cmp -s -i "$1" -n "$2" "$dir/used" "$dir/wanted"
}
used used $size && attach used
tap "a used disk, whose begin nobody knows: is refused" fails 3 'it holds something unknown in its first MiB and .* in its last MiB' \
	"$underlay" install "$loop" "${inputs[@]}"
tap "with leave to erase it" "$underlay" install "$loop" "${inputs[@]}" --erase "$loop"
wanted $size
tap_is "it has the same table" "$(table "$loop")" "$(table "$dir/wanted")"
tap "and the same ESP" same_bytes $((1 << 20)) $(($(part 1 size) * 512))
tap "the image on it verifies" "$underlay" image verify "$loop" --cert "$dir/seal.crt"
for n in 2 3 4; do
	length=$("$underlay" image inspect --json "$dir/a.raw" | jq ".partitions[$((n - 2))].size")
	tap "partition $n begins with the image's" same_bytes $(($(part $n start) * 512)) "$length"
done
for n in 2 3 5 6 8 9; do
	tap "partition $n has zeros at its end" same_bytes $((($(part $n start) + $(part $n size)) * 512 - 1048576)) 1048576
done
tap "begin and end of the disk are the same" sh -c "cmp -n 1048576 '$dir/used' '$dir/wanted' &&
	cmp -i $((size - 1048576)) '$dir/used' '$dir/wanted'"
tap "what no part has is as it was" grep -qE '^(aa)+$' <(od -An -v -tx1 -w1048576 -j $(($(part 5 start) * 512 + 3 * 1048576)) -N 1048576 "$dir/used" | tr -d ' ')

upper=$(($(part 9 start) * 512))
upper_is_empty() {
	local said
	said=$(blkid -p -O $upper -S $(($(part 9 size) * 512)) "$loop")
	[ $? -eq 2 ] && [ -z "$said" ]
}
used_upper() { # what its partition is made to hold, by a command to which standard output is the partition's file
	truncate -s $(($(part 9 size) * 512)) "$dir/upper" && "$@" && dd if="$dir/upper" of="$loop" bs=1M seek=$((upper >> 20)) conv=notrunc status=none
}
put() { # FILE OFFSET TEXT, with escapes
	printf %b "$3" | dd of="$dir/$1" bs=1 seek="$2" conv=notrunc status=none
}
raid_at_end() { # FILE: Intel's mark lies in the last sectors but one
	put "$1" $(($(stat -c %s "$dir/$1") - 1024)) 'Intel Raid ISM Cfg Sig. 1.0.00'
}
for what in "mkfs.ext4 -q $dir/upper" "mkswap -q $dir/upper" "put upper 4194304 SKUL\\xba\\xbe\\x00\\x02" "raid_at_end upper"; do
	rm -f "$dir/upper"
	# shellcheck disable=SC2086 # words
	used_upper $what
	tap "an upper's partition that held something, by ${what%% *}" lacks -q '^0$' <(upper_is_empty; echo $?)
	"$underlay" install "$loop" "${inputs[@]}" --erase "$loop" >/dev/null
	tap "is empty after the installation" upper_is_empty
done

# ---- what is refused leaves every byte as it was ----

bytes() { cat "$file"; }
# refused WHAT STATUS PATTERN TARGET OPTION...: $file is what lies behind the target
refused() {
	local what=$1 status=$2 pattern=$3 target=$4 before
	shift 4
	before=$(bytes | sha256sum)
	tap "$what: is refused" fails "$status" "$pattern" "$underlay" install "$target" "${given[@]:-${inputs[@]}}" "$@"
	tap_is "$what: not a byte of it was touched" "$(bytes | sha256sum)" "$before"
}
given=()
empty disk $size && attach disk && file=$dir/disk disk=$loop
addpart "$disk" 1 4096 65536 && sleep 0.1
refused "a partition" 1 "it is a partition of $disk, not a whole disk" "${disk}p1"
mkfs.ext4 -q "${disk}p1" && mkdir "$dir/mnt" && blockdev --flushbufs "${disk}p1" && mount -r "${disk}p1" "$dir/mnt"
refused "a disk of which a partition is mounted" 3 "it is in use: its partition ${disk#/dev/}p1 is mounted at $dir/mnt" "$disk"
refused "the same, with leave to erase it" 3 "it is in use: its partition ${disk#/dev/}p1 is mounted" "$disk" --erase "$disk"
umount "$dir/mnt" && mount -t tmpfs tmpfs /run && mkdir -p /run/underlay/host && mount -r "${disk}p1" /run/underlay/host
refused "a disk from which the system was started" 1 'the system that runs here lies on it: its partition .* is mounted at /run/underlay/host' \
	"$disk" --erase "$disk"
umount /run/underlay/host
unshare --mount --propagation private sh -c "mount -r ${disk}p1 '$dir/mnt' && touch '$dir/mounted' && exec sleep 600" &
elsewhere=$!
until [ -e "$dir/mounted" ]; do sleep 0.1; done
refused "a disk that is mounted where nobody sees it" 3 'it is in use: the kernel does not tell by whom' "$disk" --erase "$disk"
kill $elsewhere && wait $elsewhere
mkswap -q "${disk}p1" && chmod 600 "${disk}p1" && swapon "${disk}p1"
# Behind its header the kernel may swap.
bytes() { head -c $((4096 * 512 + 4096)) "$file" && tail -c +$(((4096 + 65536) * 512 + 1)) "$file"; }
refused "a disk of which a partition is swap" 3 "it is in use: its partition ${disk#/dev/}p1 is swap space" "$disk"
swapoff "${disk}p1"
bytes() { cat "$file"; }
delpart "$disk" 1
mkfs.ext4 -q -F -L precious "$disk" && blockdev --flushbufs "$disk" && mount -r "$disk" "$dir/mnt"
refused "a disk that is mounted as a whole" 3 "it is in use: it is mounted at $dir/mnt" "$disk" --erase "$disk"
umount "$dir/mnt"
refused "a file to which a loop device is attached" 3 "it is in use: the loop device ${disk#/dev/} is attached to it" "$file" --erase "$file"
refused "a filesystem" 3 "it holds ext4 \"precious\". If all of that may go, give --erase $disk" "$disk"
refused "leave to erase another one" 2 "erase names another one: $dir/file" "$disk" --erase "$dir/file"
ln -s "$disk" "$dir/link"
refused "leave to erase it by another name" 2 "erase names another one: $dir/link" "$disk" --erase "$dir/link"
printf '{"format": 1, "lowers": [{"disk": "%s", "device": "%sp2", "rootHash": "%064d"}]}' "$disk" "$disk" 0 >/run/underlay/state.json
refused "the disk that the boot tells" 1 'the system that runs here lies on it' "$disk" --erase "$disk"
rm /run/underlay/state.json
exec 9<"$disk"
flock 9
refused "a disk that another program has locked" 3 'it is in use: another program has locked it' "$disk" --erase "$disk"
exec 9<&-
attach disk --read-only
refused "a disk that is read-only" 3 'it is read-only here' "$loop" --erase "$loop"

empty file $size && file=$dir/file
sfdisk -q "$file" <<-'END'
	label: gpt
	size=16M, type=U, name=boot
	size=20M, type=L, name=root
	size=20M, type=L
END
mkfs.ext4 -q "$dir/fs" 20M && dd if="$dir/fs" of="$file" bs=512 seek="$(disk_part "$file" 2 start)" conv=notrunc status=none
refused "a partition table" 3 'it holds a gpt table with 3 partitions \(1 boot; 2 root: ext4; 3: of type 0fc63daf-.*\). If all' "$file"
empty file $size && printf 'size=20M, type=c\nsize=8M, type=83\n' | sfdisk -q "$file"
refused "a table of another kind" 3 'it holds a dos table with 2 partitions \(1: of type 0xc; 2: of type 0x83\)' "$file"
for sector in 512 4096; do
	empty file 290M && "$underlay" install "$file" "${inputs[@]}" --sector-size $sector >/dev/null
	refused "an installation, for sectors of $sector bytes" 3 'it holds a gpt table with 9 partitions \(1 esp: vfat; 2 demo_1.0: erofs; 3 demo_1.0: DM_verity_hash; ' "$file"
	refused "the same, where a file has sectors of 4096 bytes" 3 'it holds a gpt table with 9 partitions' "$file" --sector-size 4096
	put file $sector XXXXXXXX && put file $(((290 << 20) - sector)) XXXXXXXX
	refused "a protective MBR that is left of it" 3 'it holds a protective MBR, and no table that it protects' "$file"
done
empty file $size && put file 0 'LUKS\xba\xbe\x00\x01'
refused "an encrypted volume" 3 'it holds crypto_LUKS' "$file"
empty file $size && raid_at_end file
refused "a part of an array, by its mark at the end" 3 'it holds isw_raid_member' "$file"
empty file $size && mkswap -q "$file" && raid_at_end file
refused "two things" 3 'it holds (swap and isw_raid_member|isw_raid_member and swap)' "$file"
empty file $size && put file 700000 x
refused "what nobody knows at the begin" 3 'it holds something unknown in its first MiB\. If' "$file"
empty file $size && put file $((size - 700000)) x
refused "what nobody knows at the end" 3 'it holds something unknown in its last MiB\. If' "$file"
empty file $size && "$underlay" install "$file" --image "$dir/b.raw" --uki "$dir/uki" >/dev/null && zero "$file" 0 512
refused "another installation that lost its first sector" 3 'it holds something unknown in its first MiB' "$file"

empty file 72M
refused "a disk too small for the slots" 1 "it has 75497472 bytes, [0-9]+ are needed before the upper. Take a larger disk" "$file"
refused "one too small for the upper that is wanted" 1 "it has 75497472 bytes, its parts need [0-9]+. Take a larger disk" "$file" \
	--slots 1 --esp-size 40M --upper-size 1G
empty file 4096
refused "a file of a few bytes" 1 "$dir/file: it has 0 bytes, [0-9]+ are needed before the upper" "$dir/file"
empty file $size
refused "slots too small" 1 'Make the slots larger by --slot-size' "$file" --slot-size 1M
refused "an ESP too small" 1 'it would have 20971520 bytes; a FAT32' "$file" --esp-size 20M
refused "tries that nothing counts" 2 'boot-loader is missing: --tries needs it' "$file" --tries 5
TMPDIR=$dir/nothing refused "no directory for temporary files" 3 'No such file' "$file"
given=(--image "$dir/arm.raw" --uki "$dir/uki")
refused "an image for another machine" 1 'it is for x86-64, the image .*arm\.raw is for arm64' "$file"
given=(--image "$dir/uki" --uki "$dir/uki")
refused "an image that is none" 1 'it has no partition table' "$file"
given=(--image "$dir/a.raw" --uki "$dir/a.raw")
refused "a UKI that is none" 1 'it does not start as a PE file does' "$file"
given=(--uki "$dir/uki")
refused "no image, where none runs" 3 'this system was not started by underlay-init. Give the image by --image' "$file"
given=(--image "$dir/a.raw")
refused "no UKI" 2 'uki is missing' "$file"
given=() file=$dir/a.raw
refused "the image itself" 1 "it is what shall be installed: $dir/a.raw" "$file" --erase "$file"
ln "$dir/uki" "$dir/uki.too" && file=$dir/uki
refused "the UKI, by another name" 1 "it is what shall be installed: $dir/uki" "$dir/uki.too" --erase "$dir/uki.too"
refused "a directory" 1 'it is neither a disk nor a file that stands for one' "$dir/mnt"
refused "a character device" 1 'it is neither a disk nor a file that stands for one' /dev/null
refused "what is not there" 3 'A file that stands for a disk is to be made before' "$dir/nothing"
tap "and is not made" test ! -e "$dir/nothing"

# ---- what is damaged ----

for where in "data 2500000" "verity 8192" "verity 50000"; do
	cp "$dir/a.raw" "$dir/bad.raw" && flip "$dir/bad.raw" $(($(start_of "$dir/bad.raw" "${where% *}") + ${where#* }))
	empty file $size
	tap "an image with a wrong bit at $where: is refused" fails 1 'the image is damaged: ' \
		"$underlay" install "$dir/file" --image "$dir/bad.raw" --uki "$dir/uki"
	tap "and the disk has no table" has_no_table "$dir/file"
	tap "the right one is installed without more ado" "$underlay" install "$dir/file" "${inputs[@]}"
done
wanted $size
# calls SYSCALL: how often it meets the disk. cut SYSCALL N WHAT: what becomes of the N-th.
traced() { ASAN_OPTIONS=detect_leaks=0 strace -qq -P "$dir/file" -o "$dir/trace" "$@" "$underlay" install "$dir/file" "${inputs[@]}"; }
empty file $size && traced -e trace=pwrite64,fallocate,fsync >/dev/null
# Each piece of the slot and of the ESP that has a whole MiB, by its place among the writes.
take_lines numbers sh -c "awk '/^pwrite64/ { n++; if (/= 1048576\$/) print n }' '$dir/trace' | sed -n '1p; 5p; 6p; 7p; \$p'" || exit 1
for n in "${numbers[@]}"; do
	empty file $size
	tap "write $n is lost: the disk is found to be bad" fails 1 'it does not give back what was written' \
		traced -e trace=pwrite64 -e "inject=pwrite64:retval=1048576:when=$n"
	tap "write $n is lost: it has no table" has_no_table "$dir/file"
done
tap_is "writes were lost" ${#numbers[@]} 5
empty file $size
tap "a write that fails is told by the disk's name" fails 3 "installing: $dir/file: Input/output error. The disk is empty now" \
	traced -e trace=pwrite64 -e inject=pwrite64:error=EIO:when=3

# ---- what is cut off ----

empty file $size && traced -e trace=pwrite64,fallocate,fsync >/dev/null
tap "in the end it is whole" same "$dir/file" "$dir/wanted"
# cut SYSCALL N: killed there. The disk is empty, or whole; the same command makes it whole in the first case.
cut() {
	empty file $size
	traced -e "trace=$1" -e "inject=$1:signal=KILL:when=$2" >"$dir/out" 2>&1
	same "$dir/file" "$dir/wanted" 2>/dev/null && return
	has_no_table "$dir/file" && "$underlay" install "$dir/file" "${inputs[@]}" >"$dir/out" 2>&1 && same "$dir/file" "$dir/wanted"
}
# Each sync, the table's writes, and some of what is before.
for row in "pwrite64 5 8" "fallocate 0 60" "fsync 99 1"; do
	read -r call last every <<<"$row"
	take_lines numbers awk -v call="$call" -v last="$last" -v every="$every" 'index($0, call "(") == 1 { n++ }
		END { for (i = 1; i <= n; i++) if (i == 1 || i > n - last || i % every == 0) print i }' "$dir/trace" || exit 1
	cp "$dir/trace" "$dir/trace.whole"
	for n in "${numbers[@]}"; do
		tap "killed at $call $n: it is empty or whole, and the same command makes it whole" cut "$call" "$n"
	done
	cp "$dir/trace.whole" "$dir/trace"
done
# Over what was there, with leave: whatever is cut off, nothing of it is half there.
wanted $size && cp --sparse=always "$dir/wanted" "$dir/file" && raid_at_end file
tap "a disk that holds something, in an array" fails 3 'it holds (.*isw_raid_member.*gpt|.*gpt.*isw_raid_member)' \
	"$underlay" install "$dir/file" "${inputs[@]}"
tap "killed at the first write of the image" fails 137 '' bash -c "$(declare -f traced); dir='$dir' underlay='$underlay'
	inputs=(--image '$dir/a.raw' --uki '$dir/uki' --erase '$dir/file'); traced -e trace=pwrite64 -e inject=pwrite64:signal=KILL:when=1"
tap "the disk has no table, and no mark" has_no_table "$dir/file"
rm -rf "$TMPDIR" && mkdir "$TMPDIR"
empty file $size
tap "a signal ends it" fails 143 'interrupted. The disk is empty now: the same command begins anew' \
	bash -c "$(declare -f traced); dir='$dir' underlay='$underlay' inputs=(--image '$dir/a.raw' --uki '$dir/uki')
	traced -e trace=pwrite64 -e inject=pwrite64:signal=TERM:when=4"
tap "the disk has no table" has_no_table "$dir/file"
tap "and no file is left elsewhere" is_empty_dir "$TMPDIR"
tap "the same command makes it whole" sh -c "'$underlay' install '$dir/file' --image '$dir/a.raw' --uki '$dir/uki' && cmp '$dir/file' '$dir/wanted'"
# The table's own writes, in the order that power may be cut in: before its first sector nobody takes it for a table.
tail -n 10 "$dir/trace.whole" | sed -nE 's/^pwrite64\(.*, ([0-9]+), ([0-9]+)\) .*/\1 at \2/p; s/^fsync.*/fsync/p' >"$dir/order"
tap_is "headers, entries, the first sector: each durable before the next" "$(tail -n 8 "$dir/order" | paste -sd' ')" \
	"512 at 512 512 at $((size - 512)) fsync $((1048576 - 1024)) at 1024 $((1048576 - 512)) at $((size - 1048576)) fsync 512 at 0 fsync"

# ---- the kernel's own idea of the disk ----

empty disk $size && attach disk -P && addpart "$loop" 2 4096 65536
tap "the kernel has a partition" test -e "/sys/block/${loop#/dev/}/${loop#/dev/}p2"
tap "a disk with another table than the kernel has" "$underlay" install "$loop" "${inputs[@]}"
tap "the kernel has read it" test ! -e "/sys/block/${loop#/dev/}/${loop#/dev/}p2"

# ---- the image that runs ----

"$underlay" disk build --force -o "$dir/stick" "${inputs[@]}" >/dev/null && disk_install "$dir/stick" 5 "$dir/b.raw" && attach stick &&
	stick=$loop
hash_of() { "$underlay" image inspect --json "$dir/$1" | jq -r '.slots[0].rootHash'; }
running() { # ROOT-HASH DEVICE
	printf '{"format": 1, "lowers": [{"disk": "%s", "device": "%s", "rootHash": "%s"}]}' "$stick" "$2" "$1" >/run/underlay/state.json
}
for name in a b; do
	running "$(hash_of $name.raw)" none
	empty file $size
	tap "of a disk with two images the one that runs is installed ($name)" "$underlay" install "$dir/file" --uki "$dir/uki"
	inputs=(--image "$dir/$name.raw" --uki "$dir/uki")
	wanted $size
	tap "and is the same as from its file" same "$dir/file" "$dir/wanted"
done
running "$(printf %064d 0)" none
file=$dir/file given=(--uki "$dir/uki")
empty file $size
refused "an image that is not there any more" 1 'it holds no store image whose root hash is 0000' "$file"
printf '{"format": 1, "lowers": [{"share": "9p:store", "rootHash": ""}]}' >/run/underlay/state.json
refused "a store that lies on no disk" 1 'it does not tell of an image on a disk. Give one by --image' "$file"
"$underlay" disk build --force -o "$dir/twice" --image "$dir/a.raw" --uki "$dir/uki" >/dev/null && disk_install "$dir/twice" 5 "$dir/a.raw" &&
	flip "$dir/twice" $(($(disk_part "$dir/twice" 2 start) * 512 + 2500000)) && attach twice && stick=$loop
for n in 2 5; do
	addpart "$stick" $n "$(disk_part "$dir/twice" $n start)" "$(disk_part "$dir/twice" $n size)" && sleep 0.1
done
running "$(hash_of a.raw)" "${stick}p5"
tap "of two slots with one image, the first of them damaged, it takes the one that runs" "$underlay" install "$dir/file" --uki "$dir/uki"
running "$(hash_of a.raw)" "${stick}p2"
empty file $size
tap "and not the other one" fails 1 'the image is damaged' "$underlay" install "$dir/file" --uki "$dir/uki"
tap_end
