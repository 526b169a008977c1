#!/usr/bin/env bash
# `underlay image locate` against the kernel: a block of the filesystem is overwritten, the filesystem mounted, and
# the files whose contents changed must be those that locate named, plain and compressed.
set -u
cd "$(dirname "$0")/../.." || exit 1
underlay=$PWD/${BUILD:-build}/underlay
dir=$(mktemp -d)
cleanup() {
	umount "$dir/mnt" 2>/dev/null
	chmod -R u+w "$dir"
	rm -rf "$dir"
}
trap cleanup EXIT

# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
# shellcheck source=tests/lib/sealed.sh
. tests/lib/sealed.sh

mkdir -p "$dir/mnt" "$dir/src/more/a/b/c"
for i in $(seq 100); do
	seq "$i" $((i * 20)) >"$dir/src/more/a/b/file-$i"
done
seq 1 90000 | awk '{print $1 * 7919 % 100003, $1, $1}' >"$dir/src/more/a/mixed"
head -c 100000 /dev/zero >"$dir/src/more/zeros"
ln -s ../a/mixed "$dir/src/more/a/link"
identity seal && make_store && nix-store --store "$dir/root" --add "$dir/src/more" >/dev/null &&
	nix-store --store "$dir/root" --dump-db >"$dir/registration" ||
	{ echo "not ok - key and store are made" && exit 1; }

locate() {
	"$underlay" image locate "$@" >"$dir/out" 2>&1
}

# The data partition as a file.
take_data() {
	local offset size
	offset=$(start_of "$1" data)
	size=$("$underlay" image inspect --json "$1" | jq '.partitions[0].size')
	dd if="$1" of="$dir/data" bs=1M iflag=skip_bytes,count_bytes skip="$offset" count="$size" status=none
}

# What the kernel reads of a filesystem: "SHA-256  PATH"; what cannot be read has no line.
contents() { # FILE
	mount -o loop,ro "$1" "$dir/mnt" 2>"$dir/mount.log" || return
	(cd "$dir/mnt" && find nix -type f -exec sha256sum {} + 2>/dev/null) | sort
	umount "$dir/mnt"
}

# against_kernel NAME IMAGE BLOCKS...: overwrite each block that belongs to files alone. Each time in a file of
# another name: a loop device that is not yet gone would be used again, with what it remembers.
against_kernel() {
	local name=$1 image=$2 block wrong=0 tried=0
	shift 2
	take_data "$image"
	contents "$dir/data" >"$dir/whole"
	for block; do
		"$underlay" image locate --json "$image" "$block" >"$dir/rows" || wrong=$((wrong + 1))
		[ "$(jq -r '[.places[].kind] | unique | join(",")' "$dir/rows")" = file ] || continue
		tried=$((tried + 1))
		cp "$dir/data" "$dir/data.$block"
		head -c 4096 /dev/zero | tr '\0' '\245' |
			dd of="$dir/data.$block" bs=4096 seek="$block" conv=notrunc status=none
		contents "$dir/data.$block" >"$dir/spoilt"
		rm "$dir/data.$block"
		same_output 'comm -23 "$dir/whole" "$dir/spoilt" | sed "s/^[^ ]*  /\//" | sort' \
			'jq -r ".places[].path" "$dir/rows" | sort -u' >"$dir/out" 2>&1 || {
			sed "s/^/block $block: /" "$dir/out"
			wrong=$((wrong + 1))
		}
	done
	echo "# $name: $tried blocks of files were overwritten, $wrong were named wrongly"
	[ "$wrong" -eq 0 ] && [ "$tried" -ge 20 ]
	report $? "$name: the kernel reads other bytes in just the files that locate names"
}

# inodes NAME IMAGE: the inode number that the kernel tells is the inode's place in units of 32 bytes.
inodes() {
	local path number missing=0 tried=0
	take_data "$2"
	mount -o loop,ro "$dir/data" "$dir/mnt"
	(cd "$dir/mnt" && find . -path './nix/store/*' -printf '%i %P\n' | shuf -n 40 --random-source=/dev/zero) >"$dir/numbers"
	while read -r number path; do
		tried=$((tried + 1))
		locate --json "$2" --data-offset $((number * 32)) || missing=$((missing + 1))
		jq -e --arg path "/$path" '[.places[] | .path == $path] | any' "$dir/out" >/dev/null ||
			[ "$(jq '.places | length' "$dir/out")" -ge 16 ] || missing=$((missing + 1))
	done <"$dir/numbers"
	umount "$dir/mnt"
	[ "$missing" -eq 0 ] && [ "$tried" -eq 40 ]
	report $? "$1: the inodes of 40 files are where the kernel says they are"
}

for compression in none lz4 lz4hc,12; do
	image=$dir/image-${compression%,*}
	build "$image" 1.0 --compression "$compression" --fec --key "$dir/seal.key" --cert "$dir/seal.crt"
	report $? "an image is built: $compression"
	blocks=$("$underlay" image inspect --json "$image" | jq '.slots[0].descriptor.dataBlocks')
	against_kernel "$compression" "$image" $(seq 3 $((blocks / 40 + 1)) $((blocks - 1)))
	inodes "$compression" "$image"
done

# ---- the words, of the plain image ----

image=$dir/image-none
info=$("$underlay" image inspect --json "$image")
fec_start=$(jq .slots[0].descriptor.fecStart <<<"$info")
hash=$(start_of "$image" verity)
locate "$image" 0 && grep -q "^data block 0: the filesystem's superblock$" "$dir/out"
report $? "block 0 holds the superblock"
# `numbers` is more than a block long: the block in its middle, by its contents.
take_data "$image"
at=$(grep -abo -m 1 '^100001$' "$dir/data" | head -n 1 | cut -d: -f1)
in_file=$(grep -abo -m 1 '^100001$' "$dir/src/data/numbers" | head -n 1 | cut -d: -f1)
start=$((in_file / 4096 * 4096))
locate "$image" $((at / 4096)) &&
	grep -qx "data block $((at / 4096)): $data: numbers, bytes $start to $((start + 4095))" "$dir/out"
report $? "store path, file and bytes of a block"
locate "$image" --data-offset "$at" && grep -q "$data: numbers" "$dir/out"
report $? "the same by the byte of the data"
locate "$image" --image-offset $(($(start_of "$image" data) + at)) "$hash" $((hash + 4096)) $((hash + fec_start)) \
	"$(start_of "$image" verity-sig)" 0
cat >"$dir/wanted" <<END
byte of the image $(($(start_of "$image" data) + at)): $data: numbers, bytes $start to $((start + 4095))
byte of the image $hash: dm-verity's superblock
byte of the image $((hash + 4096)): the hash tree, level 1: covers data blocks 0 to $((blocks - 1))
byte of the image $((hash + fec_start)): the error correction's parity (FEC)
byte of the image $(start_of "$image" verity-sig): the signature partition
byte of the image 0: outside of the image's partitions
END
sed -i "s/to $((blocks - 1))\$/to $(($(jq .slots[0].descriptor.dataBlocks <<<"$info") - 1))/" "$dir/wanted"
diff "$dir/wanted" "$dir/out"
report $? "every part of the image by its bytes"
locate "$image" --hash-block 2-3 && grep -qx "hash block 3: the hash tree, level 0: covers data blocks 128 to 255" "$dir/out"
report $? "blocks of the hash tree, as the kernel numbers them"

# ---- what is damaged ----

locate "$image" --damaged && grep -qx 'no block is damaged' "$dir/out"
report $? "a whole image: no block is damaged"
cp "$image" "$dir/t"
for block in 700 11 1234; do
	flip "$dir/t" $(($(start_of "$image" data) + block * 4096 + 77))
done
flip "$dir/t" $((hash + 4096 * 3)) # the leaf over 128 to 255
locate "$dir/t" --damaged
[ $? -eq 1 ] && [ "$(sed 's/:.*//' "$dir/out" | uniq | tr '\n' ,)" = "hash block 3,data block 11,data block 700,data block 1234," ]
report $? "every damaged block is found, of data and tree"
"$underlay" image locate "$dir/t" --damaged --json >"$dir/out"
jq -e '[.places[] | select(.unit == "data block" and .number == 700)][0] | .storePath and .path and .fileEnd > .fileStart' "$dir/out" >"$dir/jq"
report $? "--json has store path, path and bytes"

# A block of inodes is all ones: what lies elsewhere is told all the same, and that it is not all. (Of which files they
# are is mkfs' choice: the contents of one of the three are another's.)
inode=$("$underlay" image locate "$image" 0-1500 | sed -n 's/^data block \([0-9]*\): .*: .*, its inode$/\1/p' | sort -n | uniq | tail -n 1)
head -c 4096 /dev/zero | tr '\0' '\377' |
	dd of="$dir/t" bs=1 seek=$(($(start_of "$image" data) + inode * 4096)) conv=notrunc status=none
locate "$dir/t" --damaged
[ $? -eq 1 ] && grep -q '^underlay: reading the filesystem.s map: ' "$dir/out" && grep -qE '^data block (11|700|1234): /nix/store/' "$dir/out"
report $? "the filesystem's map is damaged, too: the rest is told"
"$underlay" image locate "$dir/t" --damaged --json >"$dir/out" 2>"$dir/err"
[ $? -eq 1 ] && jq -e --argjson inode "$inode" '(.incomplete | startswith("reading the filesystem")) and
	([.places[] | select(.unit == "data block") | .number] | unique | . == ([11, 700, 1234, $inode] | sort))' "$dir/out"
report $? "--json tells it, and that it is not all" "$dir/err"

# ---- refusals ----

refused() { # NAME STATUS WORDS ARGUMENT...
	local name=$1 status=$2 words=$3
	shift 3
	locate "$@"
	[ $? -eq "$status" ] && grep -qF -- "$words" "$dir/out"
	report $? "refused: $name"
}
refused "a block behind the end" 1 "so there is no number 99999999" "$image" 99999999
refused "no number" 2 "is not a number, or two in order with a dash between them" "$image" 12x
refused "a range backwards" 2 "two in order" "$image" 9-3
refused "no block" 2 "NUMBER[-NUMBER] or --damaged is missing" "$image"
refused "no image" 1 "it has no partition table" "$dir/registration" 1
zero "$dir/t" $(($(start_of "$image" data) + 1024)) 128
refused "no filesystem" 1 "the filesystem is unknown" "$dir/t" 5

build "$dir/squash" 1.0 --format squashfs --key "$dir/seal.key" --cert "$dir/seal.crt" &&
	locate "$dir/squash" 0 5 &&
	grep -qx "data block 0: the filesystem's superblock" "$dir/out" &&
	grep -qx "data block 5: the filesystem's files' contents" "$dir/out"
report $? "of squashfs, the part"
tap_end
