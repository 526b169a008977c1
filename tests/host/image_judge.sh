#!/usr/bin/env bash
# One judge: a list of images, right ones and one for each defect, each shown to the boot's own stages (all but
# device-mapper) and to `underlay image verify` with the same policy. Both end in the same verdict and say the same
# sentence, but for the name of the device or file.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/stages.sh
. tests/lib/sealed.sh
dir=$tmp

make_store && identity trusted && identity stranger ||
	{ echo "not ok - a store and two signers are made" && exit 1; }
signed=(--key "$dir/trusted.key" --cert "$dir/trusted.crt")
build "$tmp/image" 1.2 "${signed[@]}" --rollback-index 5 && build "$tmp/plain" 1.2 ||
	{ cat "$tmp/out" && echo "not ok - the images are made" && exit 1; }
sig_at=$(start_of "$tmp/image" verity-sig)

# ---- the two judges ------------------------------------------------------------------------------

# What differs between them by nature: where the image is. (The boot finds it as a file on an ext4.)
same_words() {
	sed -E "s|/t on /dev/loop[0-9]+|IMAGE|; s|[^ ]*/host/(./)?t\b|IMAGE|g; s|/dev/loop[0-9]+|IMAGE|g"
}

# What the boot says of $tmp/host/t: "started", or its sentence.
boot_says() { # POLICY-LINE...
	local device disk status
	rm -f "$tmp/disk"
	mkfs.ext4 -q -O ^has_journal -d "$tmp/host" "$tmp/disk" 48M >"$tmp/boot.log" 2>&1 &&
		disk=$(losetup --find --show "$tmp/disk") || return
	device=seal
	before='mkdir -p "$conf/etc/verity.d"; cp "$trusted" "$conf/etc/verity.d/"'
	trusted=$dir/trusted.crt
	export trusted
	run true "${cmdline:-}" "[image]" "file = /t" "file-device = $disk" "timeout = 1s" \
		"settle = 0" ${image_name:+"name = $image_name"} "$@" >"$tmp/boot.log" 2>&1
	status=$?
	before=
	losetup -d "$disk"
	if [ $status -eq 0 ]; then
		echo started
	else
		sed -nE "s/^underlay: (device|lower|database): //p" "$tmp/boot.log" | tail -n 1 | same_words
	fi
}

# What `image verify` says of it with the same policy, certificates and all.
verify_says() {
	sed -E "/^file(-device)? =/d" "$tmp/conf/etc/underlay/underlay.conf" >"$tmp/policy"
	if "$underlay" image verify --policy "$tmp/policy" --cert "$dir/trusted.crt" "$tmp/host/t" >"$tmp/verify.log" 2>&1; then
		echo started
	else
		sed -n '$s/^underlay: //p' "$tmp/verify.log" | same_words
	fi
}

# same NAME WORDS POLICY-LINE...: $tmp/host/t, by both. WORDS: a pattern of what they say; "started" where they accept
# it.
same() {
	local title=$1 words=$2 by_boot by_verify
	shift 2
	by_boot=$(boot_says "$@")
	by_verify=$(verify_says)
	printf 'boot:   %s\nverify: %s\n' "$by_boot" "$by_verify" | cat - "$tmp/boot.log" "$tmp/verify.log" >"$tmp/out"
	[ -n "$by_boot" ] && [ "$by_boot" = "$by_verify" ] && grep -qE -- "$words" <<<"$by_boot"
	report $? "$title"
}

# noted WORDS: verify said so on its way.
noted() {
	grep -qE "^note .*$1" "$tmp/verify.log"
	report $? "and verify notes: $1"
}

mkdir "$tmp/host"
fresh() {
	cp --reflink=auto "$tmp/${1:-image}" "$tmp/host/t"
}

json() { # FILTER: rewrite the signature partition's JSON
	local new
	new=$(tail -c +$((sig_at + 1)) "$tmp/host/t" | tr -d '\0' | head -c 65536 | jq -c "$1" 2>/dev/null | head -n 1)
	zero "$tmp/host/t" "$sig_at" 8192
	printf %s "$new" | dd of="$tmp/host/t" bs=4096 seek="$sig_at" oflag=seek_bytes conv=notrunc status=none
}

user=("mode = user")
verify=("${user[@]}")

# ---- the seal ------------------------------------------------------------------------------------

fresh
same "the image as it was built" started
[ "$(grep -c '^note' "$tmp/verify.log")" -eq 0 ]
report $? "and verify has nothing to note"
json 'del(.underlay)'
same "our own image, its descriptor stripped" 'the policy wants one: the signature partition holds none'
verify=("${user[@]}" "descriptor = optional")
same "the same where the policy does without" started
noted 'descriptor .*it was taken away'
verify=("${user[@]}" "descriptor = optional" "rollback-min = 1")
same "the same with a rollback floor" 'the policy has a rollback floor'
verify=("${user[@]}" "rollback-min = 6")
fresh
same "below the rollback floor" "the image has 5, the policy's floor is 6"
verify=("${user[@]}")
json '.underlay.descriptor |= (@base64d | sub("rollback-index=5"; "rollback-index=9") | @base64)'
same "a descriptor that was edited" 'signature'
fresh
json '.rootHash |= ((if startswith("0") then "1" else "0" end) + .[1:])'
same "a root hash that was edited" 'signature'
fresh
zero "$tmp/host/t" "$sig_at" 4096
same "an empty signature partition" 'reading the signature'
fresh plain
same "an image that nobody signed" 'the image is not signed yet'
"$underlay" image sign "$tmp/plain" --export "$tmp/tbs" >"$tmp/log" 2>&1
root_hash=$(cat "$tmp/tbs/root-hash")
verify=("mode = pinned" "root-hash = $root_hash")
same "the same by its root hash" started
zero "$tmp/host/t" "$sig_at" 8192
same "the same without anything beside it" started
verify=("mode = pinned" "root-hash = $(printf '%064d' 1)")
fresh
same "another root hash than the policy's" 'the policy demands 0000'
verify=("${user[@]}")
cp "$tmp/image" "$tmp/kept" && "$underlay" image sign "$tmp/image" --key "$dir/stranger.key" --cert "$dir/stranger.crt" \
	>"$tmp/out" 2>&1
fresh
mv "$tmp/kept" "$tmp/image"
same "an image that a stranger signed" 'not the one trusted here'

# ---- partitions ----------------------------------------------------------------------------------

fresh
sfdisk --part-uuid "$tmp/host/t" 1 deadbeef-0000-4000-8000-000000000001 >"$tmp/log" 2>&1 &&
	sfdisk --part-uuid "$tmp/host/t" 2 deadbeef-0000-4000-8000-000000000002 >>"$tmp/log" 2>&1
same "random partition UUIDs" started
noted "partition UUIDs .*the data partition's is not the root hash's"
fresh
for i in 1 2 3; do sfdisk --part-label "$tmp/host/t" $i other_7 >"$tmp/log" 2>&1; done
same "another label" started
noted 'label .*"other_7" is not the signed demo_.*; the boot chooses and orders images by the label: write it anew'
image_name=demo
same "another label where the policy wants a name" 'there is only other'
boot_says "[log]" "level = debug" >/dev/null
tap "and the log names what was passed over" grep -q "find: other 7 on .*: passed over, since the policy's \[image\] name is demo" "$tmp/boot.log"
fresh
same "the label and the name that the policy wants" started
image_name=other
same "another name than the policy's" 'there is only demo'
for i in 1 2 3; do sfdisk --part-label "$tmp/host/t" $i other_7 >"$tmp/log" 2>&1; done
same "another image under the label that is wanted" 'its label says other, but the signed name is demo'
image_name=
fresh
# The boot looks on for the time that the policy gives it, and says so.
by_boot=$(boot_says "designator = root") by_verify=$(verify_says)
echo "$by_boot, $by_verify" >"$tmp/out"
[[ $by_boot == *"none of the files (1) holds a signed image"* && $by_verify == *"it holds no data partition"* ]]
report $? "the other kind of partition"

# ---- the content ---------------------------------------------------------------------------------

# sealed TREE [MKFS [OPTION...]]: $tmp/host/t is that tree, sealed by veritysetup and signed like an image of
# systemd-repart: no descriptor.
sealed() {
	local tree=$1 size hash_size root
	case ${2:-erofs} in
	erofs) mkfs.erofs "$tmp/fs" "$tree" ;;
	squashfs) mksquashfs "$tree" "$tmp/fs" -noappend -quiet ;;
	ext4) rm -f "$tmp/fs" && mkfs.ext4 -q -d "$tree" "$tmp/fs" 16M ;;
	none) head -c 1M /dev/urandom >"$tmp/fs" ;;
	esac >"$tmp/log" 2>&1 || { cat "$tmp/log" && exit 1; }
	truncate -s %1M "$tmp/fs"
	rm -f "$tmp/hash"
	root=$(veritysetup format "$tmp/fs" "$tmp/hash" | sed -n 's/^Root hash:[[:space:]]*//p')
	truncate -s %1M "$tmp/hash"
	size=$(($(stat -c %s "$tmp/fs") / 1048576)) hash_size=$(($(stat -c %s "$tmp/hash") / 1048576))
	rm -f "$tmp/host/t"
	truncate -s $((size + hash_size + 3))M "$tmp/host/t"
	sfdisk -q "$tmp/host/t" <<-END
		label: gpt
		start=1MiB, size=${size}MiB, type=$(type_of 0), name=theirs_3
		start=$((1 + size))MiB, size=${hash_size}MiB, type=$(type_of 1), name=theirs_3
		start=$((1 + size + hash_size))MiB, size=512KiB, type=$(type_of 2), name=theirs_3
	END
	dd if="$tmp/fs" of="$tmp/host/t" bs=1M seek=1 conv=notrunc status=none
	dd if="$tmp/hash" of="$tmp/host/t" bs=1M seek=$((1 + size)) conv=notrunc status=none
	printf %s "$root" >"$tmp/root-hash"
	openssl smime -sign -binary -noattr -nocerts -md sha256 -outform DER -signer "$dir/trusted.crt" \
		-inkey "$dir/trusted.key" -in "$tmp/root-hash" -out "$tmp/p7s" 2>>"$tmp/log"
	jq -nc --arg root "$root" --arg signature "$(base64 -w0 "$tmp/p7s")" \
		'{rootHash: $root, signature: $signature}' |
		dd of="$tmp/host/t" bs=1M seek=$((1 + size + hash_size)) conv=notrunc status=none
}
type_of() { # N: the type of that partition in an image of ours for this machine
	"$underlay" image inspect --json "$tmp/image" | jq -r ".partitions[$1].type"
}

verify=("${user[@]}" "descriptor = optional")
system=00000000000000000000000000000000-system # of tests/lib/stages.sh
make_tree "$tmp/tree" || { echo "not ok - a tree is made" && exit 1; }
tree() { # SCRIPT: a fresh tree, changed by the script in it, sealed as $tmp/host/t
	rm -rf "$tmp/changed"
	cp -a "$tmp/tree" "$tmp/changed"
	(cd "$tmp/changed/nix" && eval "$1")
	sealed "$tmp/changed" "${2:-erofs}"
}

tree true
same "an image of ours that another sealed" started
noted 'names .*the boot makes them'
tree true squashfs
same "a squashfs" started
tree true ext4
same "an ext4" 'it is ext4, which \[lower\] filesystems does not permit'
same "an ext4 where the policy names it" started "[lower]" "filesystems = erofs ext4"
tree true
same "an erofs where the policy wants another" 'it is erofs, which' "[lower]" "filesystems = squashfs"
tree true none
same "no filesystem at all" 'does not hold a filesystem that is known here'
tree 'rm .underlay/image.json'
same "no image.json" 'image.json: No such file'
tree 'echo "{" >.underlay/image.json'
same "an image.json that is cut" "reading image.json"
tree 'sed -i "s/\"format\": 1/\"format\": 9/" .underlay/image.json'
same "an image.json of a newer form" 'its format is 9'
tree 'sed -i "s|/nix/store|/gnu/store|g" .underlay/image.json'
same "another store directory" 'it is for the store directory /gnu/store; only /nix/store is started'
tree true
image_name=theirs
same "another name inside than the label's" 'it is demo, the policy wants theirs'
image_name=
tree 'rm .underlay/manifest'
same "no manifest" 'opening the manifest: nix/.underlay/manifest: No such file'
tree 'truncate -s 100 .underlay/manifest'
same "a manifest that is cut" manifest
tree 'printf x | dd of=.underlay/manifest bs=1 seek=3 conv=notrunc status=none'
same "something else in the place of the manifest" manifest
tree "rm -r store/$system/init"
same "a system without init" "/nix/store/$system/init: No such file"
tree "chmod 444 store/$system/real-init"
same "an init that cannot be executed" 'it is not an executable file'
tree 'sed -i "s/\"system\": \"[^\"]*\", //" .underlay/image.json'
same "nobody names a system" 'neither the image nor the policy names a system. Build the image with --system'
same "the policy names it" started "[system]" "path = /nix/store/$system"
tree true
same "a system of the policy that is not there" 'nowhere/init: No such file' "[system]" "path = /nix/store/nowhere"
same "a system outside of the store" 'it is not a path of /nix/store' "[system]" "path = /etc/x"
same "another init" "/nix/store/$system/other-init: No such file" "[system]" "init = other-init"
tree 'rm var/nix/db/schema'
same "attach without a whole database" 'schema: No such file .*Build the image with a database' "[database]" "mode = attach"

# ---- images of other makers ----------------------------------------------------------------------

registration >"$tmp/registered"
foreign() { # PLACE [REGISTRATION]: our tree's store at another place, and nothing else of it
	rm -rf "$tmp/changed"
	mkdir -p "$tmp/changed/$1"
	cp -a "$tmp/tree/nix/store/." "$tmp/changed/$1"
	[ -z "${2:-}" ] || { mkdir -p "$(dirname "$tmp/changed/$2")" && cp "$tmp/registered" "$tmp/changed/$2"; }
	sealed "$tmp/changed"
}
theirs=("[system]" "path = /nix/store/$system")

for place in nix/store usr/nix/store .; do
	foreign $place nix-path-registration
	same "another maker's, with its store at $place" started "${theirs[@]}"
	noted 'image .*of another maker, with its store at /'
done
same "a registration that is not there" 'etc/nowhere: the image does not have it' "${theirs[@]}" "[lower]" "registration = etc/nowhere"
same "another maker's, and nobody names a system" 'neither the image nor the policy names a system. Set \[system\] path'
image_name=theirs
same "another maker's, and the policy wants a name" "nothing sealed in this image tells its name" "${theirs[@]}"
cmdline="usrhash=$(cat "$tmp/root-hash")"
by_boot=$(boot_says "${theirs[@]}")
echo "$by_boot" >"$tmp/out"
[[ $by_boot == *"nothing sealed in this image tells its name"* ]]
report $? "and a root hash of the command line does not name it"
cmdline=
verify+=("root-hash = $(cat "$tmp/root-hash")")
same "and a root hash of the policy does" started "${theirs[@]}"
image_name=
verify=("${user[@]}" "descriptor = optional")
foreign nix/store
same "no registration" 'it has neither a manifest nor a registration' "${theirs[@]}"
same "no registration where the policy does without" started "${theirs[@]}" "[lower]" "manifest = optional"
head -c 150 "$tmp/registered" >"$tmp/cut" && mv "$tmp/cut" "$tmp/registered"
foreign . nix-path-registration
same "a registration that is cut" 'nix-path-registration: .*line' "${theirs[@]}"
mkdir -p "$tmp/empty/etc" && sealed "$tmp/empty"
same "no store at all" 'neither /nix/store nor /usr/nix/store nor its root holds store paths' "${theirs[@]}"
tap_end
