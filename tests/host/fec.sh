#!/usr/bin/env bash
# The FEC area of an image: veritysetup makes the same one, byte for byte, and mends by ours what it can;
# `underlay image verify` says whether it is right, `underlay image inspect` shows it.
set -u
cd "$(dirname "$0")/../.." || exit 1
underlay=$PWD/${BUILD:-build}/underlay
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT

# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
# shellcheck source=tests/lib/sealed.sh
. tests/lib/sealed.sh

identity seal && make_store || { echo "not ok - key and store are made" && exit 1; }

# parts IMAGE: its data and hash partitions as files, and what is needed to read them.
parts() {
	local info
	info=$("$underlay" image inspect --json "$1")
	field() {
		jq -r ".slots[0].descriptor.$1" <<<"$info"
	}
	root_hash=$(field rootHash) salt=$(field salt) blocks=$(field dataBlocks)
	roots=$(field fecRoots) fec_start=$(field fecStart) fec_size=$(field fecSize)
	local n=0 name
	for name in data hash; do
		dd if="$1" of="$dir/$name" bs=4096 status=none \
			skip=$(($(jq ".partitions[$n].offset" <<<"$info") / 4096)) \
			count=$(($(jq ".partitions[$n].size" <<<"$info") / 4096))
		n=$((n + 1))
	done
}

their_verify() {
	veritysetup verify "$dir/data" "$dir/hash" "$root_hash" --fec-device "$dir/hash" \
		--fec-offset "$fec_start" --fec-roots "$roots" >"$dir/out" 2>&1
}

signed=(--key "$dir/seal.key" --cert "$dir/seal.crt" --force)
build "$dir/plain" 1.0 "${signed[@]}"
report $? "an image without FEC is built"
parts "$dir/plain"
[ "$roots $fec_start $fec_size" = "0 0 0" ]
report $? "it has no FEC area"
cp "$dir/hash" "$dir/plain-hash"

for want in 2 3 8 17 24; do
	option=--fec=$want
	[ "$want" != 2 ] || option=--fec
	build "$dir/image" 1.0 "$option" "${signed[@]}" && parts "$dir/image"
	report $? "an image is built with $option"
	[ "$roots" -eq "$want" ] && [ "$fec_start" -eq "$(stat -c %s "$dir/plain-hash")" ] &&
		[ "$(stat -c %s "$dir/hash")" -eq $((fec_start + fec_size)) ]
	report $? "$want roots: the area follows the hash tree, and nothing follows the area"
	same_output 'cat "$dir/plain-hash"' 'head -c "$fec_start" "$dir/hash"'
	report $? "$want roots: superblock and tree are those of the image without FEC"
	# The same on its own: veritysetup covers the data and the hash partition up to the area.
	cp "$dir/plain-hash" "$dir/theirs"
	veritysetup format "$dir/data" "$dir/theirs" --salt "$salt" --data-blocks "$blocks" \
		--fec-device "$dir/theirs" --fec-offset "$fec_start" --fec-roots "$want" >"$dir/out" 2>&1 &&
		same_output 'tail -c +$((fec_start + 1)) "$dir/hash"' 'tail -c +$((fec_start + 1)) "$dir/theirs"'
	report $? "$want roots: veritysetup computes the same area"
	their_verify
	report $? "$want roots: veritysetup accepts the image"
done

build "$dir/image" 1.0 --fec=2 "${signed[@]}" && build "$dir/again" 1.0 --fec=2 --threads 1 "${signed[@]}"
cmp "$dir/image" "$dir/again"
report $? "the same bytes again, by one thread"

parts "$dir/image"
rounds=$((fec_size / 4096 / 2))
# One block in each round's reach: all of them can be mended.
for ((i = 0; i < rounds; i++)); do
	zero "$dir/data" $(((i + i % 250 * rounds) * 4096)) 4096
done
fails 2 '^Verification of data area failed' veritysetup verify "$dir/data" "$dir/hash" "$root_hash" >"$dir/out" 2>&1
report $? "veritysetup without FEC finds $rounds damaged blocks"
their_verify && grep -q 'Found [1-9][0-9]* repairable errors with FEC device' "$dir/out"
report $? "with it, it finds them repairable"
for ((i = 0; i < 3; i++)); do
	zero "$dir/data" $(((5 + i * rounds) * 4096)) 4096
done
their_verify
[ $? -eq 2 ] && grep -q '^Failed to repair parity for block' "$dir/out"
report $? "three damaged blocks of one round are too many for 2 roots"

"$underlay" image verify "$dir/image" --root-hash "$root_hash" >"$dir/out" 2>&1 &&
	grep -q "^ok  *FEC  *2 roots, $fec_size bytes of parity are right" "$dir/out"
report $? "image verify says that the FEC area is right"
"$underlay" image inspect "$dir/image" >"$dir/out" && grep -q "FEC: 2 roots, $fec_size bytes from $fec_start" "$dir/out"
report $? "image inspect shows it"
flip "$dir/image" $(($(start_of "$dir/image" verity) + fec_start + fec_size - 1))
"$underlay" image verify "$dir/image" --root-hash "$root_hash" >"$dir/out" 2>&1
[ $? -eq 1 ] && tail -n 1 "$dir/out" | grep -q 'checking the error correction (FEC): the FEC area: its parity at or behind byte'
report $? "one flipped bit of the area: image verify says so, with status 1"

for bad in 1 25 x ""; do
	build "$dir/refused" 1.0 "--fec=$bad"
	[ $? -eq 2 ] && grep -q -- 'is not a number from 2 to 24' "$dir/out" && [ ! -e "$dir/refused" ]
	report $? "refused: --fec=$bad"
done
tap_end
