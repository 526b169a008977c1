#!/usr/bin/env bash
# The hash tree against cryptsetup's veritysetup: same bytes, same root hash, each accepts the other's.
set -u
build=${BUILD:-build}
tool=$build/tests/tools/hash_tool
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$(dirname "$0")/../.." || exit 1
uuid=12345678-9abc-def0-1234-56789abcdef0
salt=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff

# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh

# Compare for a file of BLOCKS data blocks; ALGORITHM DATA-BLOCK HASH-BLOCK SALT.
compare() {
	local blocks=$1 hash=$2 db=$3 hb=$4 s=$5 theirs ours
	local name="$blocks blocks, $hash, $db/$hb, salt of $((${#s} / 2)) bytes"
	head -c $((blocks * db)) /dev/urandom >"$dir/data"
	rm -f "$dir/theirs" "$dir/ours"
	theirs=$(veritysetup format "$dir/data" "$dir/theirs" --hash "$hash" --data-block-size "$db" \
		--hash-block-size "$hb" --salt "$s" --uuid "$uuid" | sed -n 's/^Root hash:[[:space:]]*//p')
	ours=$("$tool" tree "$dir/data" "$dir/ours" "$hash" "$db" "$hb" "$s" "${uuid//-/}" 0)
	[ -n "$theirs" ] && [ "$ours" = "$theirs" ] && cmp "$dir/ours" "$dir/theirs"
	report $? "same tree as veritysetup format: $name"
	veritysetup verify "$dir/data" "$dir/ours" "$ours" 2>&1 &&
		"$tool" check "$dir/data" "$dir/theirs" "$hash" "$db" "$hb" "$s" "$theirs" 0
	report $? "each accepts the other's: $name"
}

for blocks in 1 2 127 128 129 255 256 257 16383 16384 16385; do
	compare "$blocks" sha256 4096 4096 "$salt"
done
compare 300 sha512 4096 4096 "$salt"
compare 4097 sha512 4096 4096 "$salt"
compare 5000 sha256 512 512 "$salt"
compare 5000 sha256 1024 4096 "$salt"
compare 5000 sha256 4096 1024 "$salt"
compare 700 sha512 4096 512 "$salt"
compare 300 sha256 4096 4096 -
compare 300 sha256 4096 4096 ab
compare 300 sha256 4096 4096 "$(printf 'cd%.0s' {1..256})"

# Where veritysetup refuses, the same block is named here.
head -c $((2000 * 4096)) /dev/urandom >"$dir/data"
rm -f "$dir/hash"
root=$("$tool" tree "$dir/data" "$dir/hash" sha256 4096 4096 "$salt" "${uuid//-/}" 0)
for block in 0 127 128 1234 1999; do
	cp "$dir/data" "$dir/bad"
	printf '\377\0\377' | dd of="$dir/bad" bs=1 seek=$((block * 4096 + 1000)) conv=notrunc status=none
	theirs=$(veritysetup verify "$dir/bad" "$dir/hash" "$root" 2>&1 |
		sed -n 's/^Verification failed at position \([0-9]*\)\.$/\1/p')
	ours=$("$tool" check "$dir/bad" "$dir/hash" sha256 4096 4096 "$salt" "$root" 0 2>"$dir/err")
	status=$?
	[ "$status" -eq 1 ] && [ "$ours" = "$block" ] && [ "$theirs" = $((block * 4096)) ] &&
		grep -q "data block $block: it does not match the hash tree" "$dir/err"
	report $? "a flipped byte in block $block is named as veritysetup names it ($theirs)"
done
tap_end
