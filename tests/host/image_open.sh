#!/usr/bin/env bash
# `underlay image inspect` and `verify` on a real image: a store that Nix made, sealed and signed; then the
# image tampered with in every part, each time with the exit status, the step and the words it must end in.
set -u
cd "$(dirname "$0")/../.." || exit 1
underlay=$PWD/${BUILD:-build}/underlay
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT

# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
# shellcheck source=tests/lib/sealed.sh
. tests/lib/sealed.sh

# refused NAME STATUS WORDS ARGUMENT...: verify ends so, and its last line holds the words.
refused() {
	local name=$1 status=$2 words=$3
	shift 3
	"$underlay" image verify "$@" >"$dir/out" 2>&1
	[ $? -eq "$status" ] && tail -n 1 "$dir/out" | grep -qF -- "$words" && lacks -q '^good$' "$dir/out"
	report $? "$name"
}

# accepted NAME [WORDS] ARGUMENT...: verify is content, and says the words (a grep pattern) on its way.
accepted() {
	local name=$1 words=$2
	shift 2
	"$underlay" image verify "$@" >"$dir/out" 2>&1 && grep -q -- "$words" "$dir/out" &&
		[ "$(tail -n 1 "$dir/out")" = good ]
	report $? "$name"
}

fresh() {
	cp --reflink=auto "$dir/image" "$dir/t"
}

le() { # VALUE BYTES: little-endian, raw
	local value=$1 i
	for ((i = 0; i < $2; i++)); do
		printf "\\x$(printf %x $((value & 255)))"
		value=$((value >> 8))
	done
}

put() { # IMAGE OFFSET: bytes from standard input
	dd of="$1" bs=4096 seek="$2" oflag=seek_bytes conv=notrunc status=none
}

# The CRC-32 that GPT uses is gzip's: four bytes of its trailer.
crc32_of() { # IMAGE OFFSET LENGTH
	tail -c +$(($2 + 1)) "$1" | head -c "$3" | gzip -c | tail -c 8 | head -c 4
}

reseal() { # IMAGE LBA ENTRIES-LBA: make the checksums of one GPT copy right again
	crc32_of "$1" $(($3 * 512)) 16384 | put "$1" $(($2 * 512 + 88))
	le 0 4 | put "$1" $(($2 * 512 + 16))
	crc32_of "$1" $(($2 * 512)) 92 | put "$1" $(($2 * 512 + 16))
}

# ---- the good image ----

make_store
report $? "Nix makes a store"
identity trusted && identity stranger
build "$dir/image" 1.2 --key "$dir/trusted.key" --cert "$dir/trusted.crt" --rollback-index 5
built=$?
report $built "build and sign an image"
[ $built -eq 0 ] || exit 1
cert=(--cert "$dir/trusted.crt")
root_hash=$("$underlay" image inspect --json "$dir/image" | jq -r '.slots[0].rootHash')

accepted "verify accepts it by certificate" "signature .*CN=trusted" "${cert[@]}" "$dir/image"
grep -q '^ok .*manifest .* 3 store paths' "$dir/out" && grep -q '^ok .*database' "$dir/out" &&
	grep -q '^ok .*superblock' "$dir/out" && lacks -q '^note' "$dir/out"
report $? "with manifest, database and superblock checked, and nothing to note"
accepted "with every NAR" "^ok .*store .*NARs match" "${cert[@]}" --contents "$dir/image"
accepted "by root hash" "^note .*signature .*not checked" --root-hash "$root_hash" "$dir/image"
mkdir "$dir/certs"
cp "$dir/trusted.crt" "$dir/stranger.crt" "$dir/certs"
accepted "by a directory of certificates" "CN=trusted" --certs "$dir/certs" --threads 3 "$dir/image"
accepted "by its name" "^ok .*names .*of the store's directories" "${cert[@]}" --name demo "$dir/image"
refused "another name" 1 "there is only demo 1.2" "${cert[@]}" --name other "$dir/image"
printf '[verify]\nmode = user\nrollback-min = 5\n' >"$dir/policy"
accepted "by a policy" "^ok .*system .*-system" "${cert[@]}" --policy "$dir/policy" "$dir/image"
printf '[verify]\nmode = user\nrollback-min = 6\n' >"$dir/policy"
refused "by a stricter one" 1 "the policy's floor is 6" "${cert[@]}" --policy "$dir/policy" "$dir/image"
refused "a policy that verifies nothing" 1 "it starts a shared directory and no image" "${cert[@]}" \
	--policy <(printf '[verify]\nmode = insecure\n[lower]\nshare = 9p:x\n') "$dir/image"
refused "a policy that is none" 1 "it stands before the first [section]" "${cert[@]}" --policy <(echo 'x = y') "$dir/image"
refused "a policy, and what it says already" 2 "usage:" "${cert[@]}" --policy "$dir/policy" --name demo \
	"$dir/image"
accepted "at its rollback floor" "rollback index 5" "${cert[@]}" --rollback-min 5 "$dir/image"
"$underlay" image verify --json "${cert[@]}" "$dir/image" >"$dir/out" &&
	jq -e '.good == true and .code == "ok" and all(.steps[]; .ok)' "$dir/out" >/dev/null
report $? "the same in JSON"
setpriv --reuid 65534 --regid 65534 --clear-groups "$underlay" image verify --help >/dev/null 2>&1 &&
	chmod 755 "$dir" && chmod 644 "$dir/image" &&
	setpriv --reuid 65534 --regid 65534 --clear-groups "$underlay" image verify "${cert[@]}" "$dir/image" \
		>"$dir/out" 2>&1
[ $? -eq 3 ] && grep -q '^ok .*hash tree' "$dir/out" && tail -n 1 "$dir/out" | grep -q 'needs root.*--seal-only'
report $? "without root the content is not checked, and the status says so"
setpriv --reuid 65534 --regid 65534 --clear-groups "$underlay" image verify "${cert[@]}" --seal-only \
	"$dir/image" >"$dir/out" 2>&1 && grep -q '^note .*content .*not checked' "$dir/out"
report $? "the seal alone needs no root"

"$underlay" image inspect "$dir/image" >"$dir/out" && grep -q 'Nothing of what follows is verified' "$dir/out" &&
	grep -q 'slot: demo 1.2 (usr, ' "$dir/out" && grep -q "root hash: $root_hash" "$dir/out" &&
	grep -q 'file system: erofs' "$dir/out"
report $? "inspect tells what the image says of itself"
"$underlay" image inspect --json "$dir/image" | jq -e '.verified == false and .tableCopiesAgree and
	.slots[0].descriptor.rollbackIndex == 5 and .slots[0].descriptor.rootHash == .slots[0].rootHash and
	(.partitions | length) == 3' >"$dir/out"
report $? "and in JSON"

# ---- who may sign ----

refused "another certificate" 1 "not the one trusted here" --cert "$dir/stranger.crt" "$dir/image"
refused "no certificate at all" 1 "no certificate is trusted" --certs "$dir/src" "$dir/image"
refused "another root hash, pinned" 1 "the policy demands" \
	--root-hash "$(printf '0%.0s' {1..64})" "$dir/image"
refused "another root hash beside a good signature" 1 "the policy demands" "${cert[@]}" \
	--root-hash "$(printf '0%.0s' {1..64})" "$dir/image"
refused "below the rollback floor" 1 "the policy's floor is 6" "${cert[@]}" --rollback-min 6 "$dir/image"
refused "a root hash that is none" 2 "usage:" --root-hash xyz "$dir/image"
refused "two kinds of trust" 2 "usage:" "${cert[@]}" --certs "$dir" "$dir/image"
refused "no image" 3 "No such file" "${cert[@]}" "$dir/nothing"

# ---- the seal ----

data_at=$(start_of "$dir/image" data)
tree_at=$(start_of "$dir/image" verity)
sig_at=$(start_of "$dir/image" verity-sig)
blocks=$("$underlay" image inspect --json "$dir/image" | jq '.slots[0].descriptor.dataBlocks')

for at in 0 $((4096 * (blocks / 2) + 77)) $((4096 * blocks - 1)); do
	fresh
	flip "$dir/t" $((data_at + at))
	refused "data flipped at $at" 1 "data block $((at / 4096))" "${cert[@]}" "$dir/t"
done
for at in 4096 $((4096 * 2 + 5)); do
	fresh
	flip "$dir/t" $((tree_at + at))
	refused "hash tree flipped at $at" 1 "tree" "${cert[@]}" "$dir/t"
done
for at in 0 16 64 72 90; do
	fresh
	flip "$dir/t" $((tree_at + at))
	accepted "superblock flipped at $at does not matter" \
		"$([ $at = 16 ] && echo . || echo '^note .*superblock .*Underlay ignores it')" "${cert[@]}" "$dir/t"
done
fresh
zero "$dir/t" "$tree_at" 512
accepted "nor does none at all" "^note .*superblock .*there is no superblock" "${cert[@]}" "$dir/t"

fresh
zero "$dir/t" "$sig_at" 4096
refused "signature partition emptied" 1 "empty" "${cert[@]}" "$dir/t"
# What the descriptor says is base64 in the JSON; each part of the JSON is changed in turn.
json() { # IMAGE FILTER: rewrite the signature partition's JSON
	local old new
	old=$(tail -c +$((sig_at + 1)) "$1" | tr -d '\0' | head -c 65536 | jq -c . 2>/dev/null | head -n 1)
	new=$(jq -c "$2" <<<"$old")
	# An empty one would be refused as well.
	[ -n "$new" ] && [ "$new" != "$old" ] || report 1 "the JSON is changed: $2"
	zero "$1" "$sig_at" 8192
	printf %s "$new" | put "$1" "$sig_at"
}
fresh
json "$dir/t" '.underlay.descriptor |= (@base64d | sub("rollback-index=5"; "rollback-index=9") | @base64)'
refused "descriptor altered" 1 "signature" "${cert[@]}" "$dir/t"
fresh
json "$dir/t" 'del(.underlay)'
refused "descriptor taken away" 1 "the policy wants one: the signature partition holds none" "${cert[@]}" "$dir/t"
accepted "descriptor taken away where none is required, and it says so" "^note .*descriptor .*it was taken away" \
	"${cert[@]}" --descriptor optional "$dir/t"
refused "but not where there is a rollback floor" 1 "rollback floor" "${cert[@]}" --descriptor optional --rollback-min 1 \
	"$dir/t"
fresh
json "$dir/t" '.rootHash |= ((if startswith("0") then "1" else "0" end) + .[1:])'
refused "root hash altered" 1 "signature" "${cert[@]}" "$dir/t"
fresh
json "$dir/t" '.signature |= .[4:]'
refused "signature cut" 1 "signature" "${cert[@]}" "$dir/t"
fresh
json "$dir/t" '.certificateFingerprint |= ("0" * 64)'
accepted "the fingerprint is a hint only" good "${cert[@]}" "$dir/t"
fresh
printf 'x' | put "$dir/t" "$sig_at"
refused "no JSON" 1 "JSON" "${cert[@]}" "$dir/t"

# Signed by the other key as a whole; and the signature partition of another image of the right key.
build "$dir/other" 1.3 --key "$dir/stranger.key" --cert "$dir/stranger.crt"
refused "an image that a stranger signed" 1 "not the one trusted here" "${cert[@]}" "$dir/other"
printf 'other\n' >"$dir/src/system/etc"
cp -r "$dir/src/system" "$dir/src/system2"
system=$(nix-store --store "$dir/root" --add "$dir/src/system2")
nix-store --store "$dir/root" --dump-db >"$dir/registration"
build "$dir/other" 1.3 --force --key "$dir/trusted.key" --cert "$dir/trusted.crt" --rollback-index 9
fresh
tail -c +$(($(start_of "$dir/other" verity-sig) + 1)) "$dir/other" | head -c 8192 | put "$dir/t" "$sig_at"
refused "another image's valid signature spliced in" 1 "does not match the root hash" "${cert[@]}" "$dir/t"
grep -q "^note .*partition UUIDs .*the data partition's is not the root hash's" "$dir/out"
report $? "and the partition UUIDs tell it apart from damage"

# ---- the partition table ----

size=$(stat -c %s "$dir/image")
last=$((size / 512 - 1))
fresh
zero "$dir/t" 512 512
refused "primary GPT destroyed" 1 "the primary copy of the GPT is damaged" "${cert[@]}" "$dir/t"
"$underlay" image inspect "$dir/t" >"$dir/out" && grep -q 'from its backup copy' "$dir/out"
report $? "inspect still reads the backup"
fresh
zero "$dir/t" $((last * 512)) 512
refused "backup GPT destroyed" 1 "the backup copy of the GPT is damaged" "${cert[@]}" "$dir/t"
zero "$dir/t" 512 512
refused "both destroyed" 1 "no copy of the GPT is whole" "${cert[@]}" "$dir/t"
zero "$dir/t" 0 512
refused "and no protective MBR left" 1 "it has no partition table (GPT)" "${cert[@]}" "$dir/t"
fresh
truncate -s $((size / 2)) "$dir/t"
refused "image truncated" 1 "truncated" "${cert[@]}" "$dir/t"
fresh
le $((data_at / 512)) 8 | put "$dir/t" $((1024 + 128 + 32)) # the hash partition starts where data does
reseal "$dir/t" 1 2
refused "partitions overlap" 1 "overlap" "${cert[@]}" "$dir/t"
fresh
flip "$dir/t" $((1024 + 128 + 16))
reseal "$dir/t" 1 2
refused "the two copies differ" 1 "it differs from the primary one" "${cert[@]}" "$dir/t"
flip "$dir/t" $(((last - 32) * 512 + 128 + 16))
reseal "$dir/t" "$last" $((last - 32))
accepted "a hash partition UUID that is not the root hash's" "^note .*partition UUIDs .*the hash partition's" "${cert[@]}" "$dir/t"

tap_end
