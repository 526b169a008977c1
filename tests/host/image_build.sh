#!/usr/bin/env bash
# underlay image build and image sign, on a store made by hand whose hashes Nix itself computes: the same bytes from
# any directory, by any user, in one step or two; readable by the kernel, accepted by veritysetup; refusals.
set -u
umask 077
underlay=$PWD/${BUILD:-build}/underlay
tmp=$(mktemp -d) || exit 1
chmod 755 "$tmp"
loops=()
cleanup() {
	umount "$tmp/mnt" 2>/dev/null
	umount "$tmp/small" 2>/dev/null
	[ ${#loops[@]} -eq 0 ] || losetup -d "${loops[@]}"
	chmod -R u+w "$tmp"
	rm -rf "$tmp"
}
trap cleanup EXIT
. tests/lib/tap.sh

# refused NAME STATUS WORDS COMMAND...: ends with that status, says the words, leaves nothing behind.
refused() {
	local name=$1 want=$2 words=$3 got
	shift 3
	"$@" >"$tmp/out" 2>&1
	got=$?
	echo "(status $got instead of $want; wanted words: $words)" >"$tmp/why"
	[ $got -eq "$want" ] && grep -qF -- "$words" "$tmp/out" &&
		[ "$(grep -c . "$tmp/out")" -le 2 ] && [ ! -e "$tmp/refused.img" ] &&
		[ ! -e "$tmp/refused.img.tmp" ]
	report $? "refused: $name" <(cat "$tmp/why" "$tmp/out")
}

# ---- the store ----

system=00000000000000000000000000000000-system
library=11111111111111111111111111111111-library
script=22222222222222222222222222222222-script.sh
link=33333333333333333333333333333333-link
paths=("$system" "$library" "$script" "$link")

# One store, canonical as Nix leaves it.
make_store() {
	local s=$1
	mkdir -p "$s/$system/bin" "$s/$library/lib/deep/er" "$s/$library/empty"
	echo "the system's init" >"$s/$system/init"
	ln -s "/nix/store/$library/lib/libbig.so" "$s/$system/bin/big"
	seq 1 60000 >"$s/$library/lib/libbig.so"
	seq 1 60000 >"$s/$library/lib/deep/libbig-again.so"
	echo "same text" >"$s/$library/lib/deep/one"
	echo "same text" >"$s/$library/lib/deep/er/two"
	: >"$s/$library/lib/nothing"
	echo "echo run" >"$s/$script"
	ln -s "$library/lib" "$s/$link"
	chmod 444 "$s/$system/init" "$s/$library/lib/nothing" "$s/$library/lib/deep/one" \
		"$s/$library/lib/deep/er/two" "$s/$library/lib/deep/libbig-again.so"
	chmod 555 "$s/$script" "$s/$library/lib/libbig.so"
	find "$s" -mindepth 1 -type d -exec chmod 555 {} +
	chmod 755 "$s"
	find "$s" -mindepth 1 -exec touch -h -d @1 {} +
}

# The same as another machine may have it: made in another order, optimised, with other modes, times, neighbours.
make_odd_store() {
	local s=$1
	mkdir -p "$s/.links" "$s/99999999999999999999999999999999-stranger"
	ln -s "$library/lib" "$s/$link"
	echo "echo run" >"$s/$script"
	chmod 755 "$s/$script"
	mkdir -p "$s/$library/empty" "$s/$library/lib/deep/er" "$s/$system/bin"
	: >"$s/$library/lib/nothing"
	echo "same text" >"$s/$library/lib/deep/er/two"
	ln "$s/$library/lib/deep/er/two" "$s/$library/lib/deep/one"
	seq 1 60000 >"$s/.links/big"
	ln "$s/.links/big" "$s/$library/lib/deep/libbig-again.so"
	cp "$s/.links/big" "$s/$library/lib/libbig.so"
	chmod 775 "$s/$library/lib/libbig.so" "$s/$library/lib"
	ln -s "/nix/store/$library/lib/libbig.so" "$s/$system/bin/big"
	echo "the system's init" >"$s/$system/init"
	chmod 644 "$s/$system/init" "$s/$library/lib/nothing" "$s/$library/lib/deep/er/two" \
		"$s/.links/big"
	find "$s" -type d ! -perm 775 -exec chmod 755 {} +
}

# What `nix-store --dump-db` would say, with the hashes of the first store by Nix's own tools.
register() {
	local p
	for p in "${paths[@]}"; do
		echo "/nix/store/$p"
		nix-hash --type sha256 "$tmp/store/$p"
		nix-store --dump "$tmp/store/$p" | wc -c
		echo
		case $p in
		"$system") printf '2\n/nix/store/%s\n/nix/store/%s\n' "$library" "$system" ;;
		"$link") printf '1\n/nix/store/%s\n' "$library" ;;
		*) echo 0 ;;
		esac
	done >"$tmp/registration"
	chmod 644 "$tmp/registration"
}

make_key() {
	openssl req -x509 -newkey rsa:2048 -sha256 -nodes -days 3650 -subj "/CN=$1" \
		-keyout "$tmp/$1.key" -out "$tmp/$1.crt" 2>"$tmp/log" || exit 1
}

make_store "$tmp/store"
make_odd_store "$tmp/odd"
register
make_key signer
make_key stranger
openssl ecparam -name prime256v1 -genkey -noout -out "$tmp/ec.key" &&
	openssl req -x509 -new -key "$tmp/ec.key" -days 3650 -subj /CN=ec -out "$tmp/ec.crt" || exit 1

# build OUT STORE OPTION...: system, name and version where no option tells another.
build() {
	local out=$1 store=$2 words=" $* "
	shift 2
	[[ $words == *" --system "* ]] || set -- --system "/nix/store/$system" "$@"
	[[ $words == *" --name "* ]] || set -- --name test "$@"
	[[ $words == *" --version "* ]] || set -- --version 1.2 "$@"
	"$underlay" image build -o "$out" --registration "$tmp/registration" --store "$store" "$@"
}
signed=(--key "$tmp/signer.key" --cert "$tmp/signer.crt")

# ---- the same bytes ----

tap "a signed erofs image is built" build "$tmp/a.img" "$tmp/store" "${signed[@]}"
build "$tmp/odd.img" "$tmp/odd" "${signed[@]}" --json >"$tmp/json" 2>"$tmp/log"
tap "the same bytes from a store with hard links, odd modes, other times and order" \
	cmp "$tmp/a.img" "$tmp/odd.img"
# The store is looked through while the maker runs, and the maker is ended where that has laid out anew.
mkdir "$tmp/slow" && printf '#!/bin/sh\n[ $# -lt 3 ] || sleep 1\nexec %s "$@"\n' "$(command -v mkfs.erofs)" >"$tmp/slow/mkfs.erofs" &&
	chmod +x "$tmp/slow/mkfs.erofs"
PATH=$tmp/slow:$PATH build "$tmp/slow.img" "$tmp/odd" "${signed[@]}" >"$tmp/log" 2>&1
tap "the same bytes where the filesystem takes its time" cmp "$tmp/a.img" "$tmp/slow.img"
# A maker that is through before the store was looked through has made nothing yet.
printf '#!/bin/sh\n[ $# -lt 3 ] || exit 0\nexec %s "$@"\n' "$(command -v mkfs.erofs)" >"$tmp/slow/mkfs.erofs"
mkfifo "$tmp/odd/$system/pipe"
PATH=$tmp/slow:$PATH refused "a pipe in the store, by a maker that does not mind" 1 \
	"/$system/pipe: only files, directories and symbolic links belong in a store" build "$tmp/refused.img" "$tmp/odd"
rm "$tmp/odd/$system/pipe"
tap "--json tells the root hash, the signer, the bind mounts and what was copied" \
	jq -e '.paths == 5 and .signer == "CN=signer" and (.rootHash | length) == 64 and
	.staging.bindMounts and .staging.copied > 0' "$tmp/json"
SOURCE_DATE_EPOCH=12345 build "$tmp/link.img" "$tmp/odd" "${signed[@]}" --no-namespace \
	--threads 1 >"$tmp/log" 2>&1
tap "the same bytes by links and copies, one thread, SOURCE_DATE_EPOCH set" \
	cmp "$tmp/a.img" "$tmp/link.img"

# A user without rights reads a store that another owns, as in a Nix build.
mkdir "$tmp/user"
cp "$tmp/signer.key" "$tmp/signer.crt" "$tmp/user/"
chown -R 65534:65534 "$tmp/user"
as_user() {
	setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs "$@"
}
user_build() {
	as_user "$underlay" image build -o "$tmp/user/$1" --registration "$tmp/registration" \
		--store "$tmp/store" --system "/nix/store/$system" --name test --version 1.2 \
		--key "$tmp/user/signer.key" --cert "$tmp/user/signer.crt" "${@:2}"
}
user_build user.img >"$tmp/log" 2>&1
tap "the same bytes by a user without rights" cmp "$tmp/a.img" "$tmp/user/user.img"
user_build copy.img --no-namespace >"$tmp/log" 2>&1
tap "the same bytes by such a user without a namespace" cmp "$tmp/a.img" "$tmp/user/copy.img"

# ---- what others make of it ----

mkdir "$tmp/mnt" "$tmp/small"
sfdisk --json "$tmp/a.img" >"$tmp/table" 2>/dev/null
root_hash=$(jq -r .rootHash "$tmp/json")
field() {
	jq -r ".partitiontable.partitions[$1].$2" "$tmp/table"
}
uuids_are_halves() {
	local a b
	a=$(field 0 uuid | tr -d - | tr A-F a-f)
	b=$(field 1 uuid | tr -d - | tr A-F a-f)
	[ "$a$b" = "$root_hash" ]
}
tap "sfdisk finds nothing to complain about" sfdisk --verify "$tmp/a.img"
tap "the partition UUIDs are the halves of the root hash" uuids_are_halves
tap "labels are NAME_VERSION, all partitions read-only, starts on whole MiB" \
	jq -e '[.partitiontable.partitions[] | .name == "test_1.2" and .attrs == "GUID:60" and
	.start % 2048 == 0] == [true, true, true]' "$tmp/table"
tap "the image ends on a whole MiB" test $(($(stat -c %s "$tmp/a.img") % 1048576)) -eq 0

# loop_of N: a read-only loop device over partition N of $table, kept in $loop
loop_of() {
	loop=$(losetup --find --show --read-only -o $(($(field "$1" start) * 512)) \
		--sizelimit $(($(field "$1" size) * 512)) "$2") || exit 1
	loops+=("$loop")
}
loop_of 0 "$tmp/a.img" && data=$loop
loop_of 1 "$tmp/a.img" && hash=$loop
tap "veritysetup verify accepts it" veritysetup verify "$data" "$hash" "$root_hash"

# The kernel's view, against Nix's hashes.
contents_right() {
	local p
	for p in "${paths[@]}"; do
		[ "$(nix-hash --type sha256 "$tmp/mnt/nix/store/$p")" = \
			"$(nix-hash --type sha256 "$tmp/store/$p")" ] ||
			{ echo "$p differs" && return 1; }
	done
	[ "$(ls "$tmp/mnt/nix/store" | wc -l)" -eq 5 ]
}
all_canonical() {
	local bad
	bad=$(find "$tmp/mnt" ! -uid 0 -o ! -gid 0 ! -path "$tmp/mnt/nix/store" -o ! -newermt @0 -o -newermt @1 -o \
		-path "$tmp/mnt/nix/store/*-*" ! -type l ! -perm 444 ! -perm 555)
	[ -z "$bad" ] || { echo "$bad" && return 1; }
	[ "$(stat -c %a "$tmp/mnt/nix/store/$script" "$tmp/mnt/nix/store/$system/init" | xargs)" = "555 444" ]
}
no_shared_inodes() {
	[ "$(stat -c %h "$tmp/mnt/nix/store/$library/lib/deep/one")" -eq 1 ]
}
database_right() {
	local db="file:$tmp/mnt/nix/var/nix/db/db.sqlite?immutable=1"
	[ "$(cat "$tmp/mnt/nix/var/nix/db/schema")" = 10 ] &&
		[ "$(sqlite3 "$db" 'pragma integrity_check; select count(*) from ValidPaths;
			select count(*) from Refs' | xargs)" = "ok 5 6" ]
}
store_owner_right() {
	[ "$(stat -c '%u %g %a' "$tmp/mnt/nix/store")" = "0 30000 1775" ]
}
skeleton_there() {
	local d
	for d in gcroots/per-user gcroots/auto profiles/per-user temproots; do
		[ -d "$tmp/mnt/nix/var/nix/$d" ] || { echo "no $d" && return 1; }
	done
	[ -d "$tmp/mnt/nix/store/.links" ]
}
# The root path refers to the three paths that no other refers to, its name is the one that Nix would give it, its file
# has the NAR hash that the database says, and it is the collector's only root.
root_right() {
	local db="file:$tmp/mnt/nix/var/nix/db/db.sqlite?immutable=1" root hash
	root=$(cat "$tmp/mnt/nix/.underlay/roots") && [ "$(wc -l <<<"$root")" = 1 ] || return 1
	hash=$(sqlite3 "$db" "select hash from ValidPaths where path = '/nix/store/$root'")
	[ "$hash" = "sha256:$(nix-hash --type sha256 "$tmp/mnt/nix/store/$root")" ] || { echo "$hash" && return 1; }
	equal "$(printf '/nix/store/%s\n' "$system" "$script" "$link" | sort)" "$(sqlite3 "$db" "select b.path from Refs r
		join ValidPaths a on a.id = r.referrer join ValidPaths b on b.id = r.reference
		where a.path = '/nix/store/$root' order by b.path")" || return 1
	python3 - "$root" "$tmp/mnt/nix/store/$root" "$system" "$script" "$link" <<-'END'
		import hashlib, sys
		contents = hashlib.sha256(open(sys.argv[2], "rb").read()).hexdigest()
		text = ":".join(["text"] + sorted("/nix/store/" + p for p in sys.argv[3:]) +
			["sha256", contents, "/nix/store", "underlay-roots"])
		digest, folded = hashlib.sha256(text.encode()).digest(), bytearray(20)
		for i, byte in enumerate(digest):
		    folded[i % 20] ^= byte
		digits, number = "0123456789abcdfghijklmnpqrsvwxyz", int.from_bytes(folded, "little")
		wanted = "".join(digits[number >> 5 * i & 31] for i in reversed(range(32))) + "-underlay-roots"
		sys.exit(wanted != sys.argv[1] and "the name should be " + wanted)
	END
}
# The names layer: an empty file for each directory of the store, `.links` among them, and for nothing else.
names_right() {
	same_output 'cd "$tmp/mnt/nix/store" && find . -mindepth 1 -maxdepth 1 -type d | sort' \
		'cd "$tmp/mnt/nix/.underlay/names" && find . -mindepth 1 -type f -size 0 | sort' &&
		[ "$(ls -A "$tmp/mnt/nix/.underlay/names" | wc -l)" -eq 3 ] &&
		[ "$(stat -c '%u %g %a %Y' "$tmp/mnt/nix/.underlay/names/.links")" = "0 0 444 1" ]
}
# What an upper might note of a sealed file's origin never leads anywhere; see verity/image/fs_image.h.
no_uuid() {
	[ -n "$(blkid -p -o value -s TYPE "$data")" ] && says_nothing blkid -p -o value -s UUID "$data"
}
look_inside() {
	tap "$1: the kernel mounts it" mount -o ro "$data" "$tmp/mnt"
	tap "$1: every path has Nix's hash, no other is there" contents_right
	tap "$1: owners, times and modes are canonical" all_canonical
	tap "$1: the store directory is as Nix wants it for builds by users" store_owner_right
	tap "$1: hard links of the build machine are not in it" no_shared_inodes
	tap "$1: the database is whole" database_right
	tap "$1: the directories that Nix asks of a read-only store are there" skeleton_there
	tap "$1: image.json names the system" jq -e ".system == \"/nix/store/$system\" and
		.paths == 5 and .database" "$tmp/mnt/nix/.underlay/image.json"
	tap "$1: the manifest is in it" test -s "$tmp/mnt/nix/.underlay/manifest"
	tap "$1: the collector's root is one path that refers to all others" root_right
	tap "$1: the names layer has the store's directories" names_right
	tap "$1: the filesystem has no UUID" no_uuid
	umount "$tmp/mnt"
}
look_inside erofs

build "$tmp/s.img" "$tmp/store" "${signed[@]}" --format squashfs >"$tmp/log" 2>&1
SOURCE_DATE_EPOCH=12345 build "$tmp/s2.img" "$tmp/odd" "${signed[@]}" --format squashfs \
	--threads 1 >"$tmp/log" 2>&1
tap "squashfs: the same bytes from both stores" cmp "$tmp/s.img" "$tmp/s2.img"
sfdisk --json "$tmp/s.img" >"$tmp/table" 2>/dev/null
loop_of 0 "$tmp/s.img" && data=$loop
look_inside squashfs

for c in none lz4hc,9; do
	tap "erofs with compression $c" build "$tmp/c.img" "$tmp/store" --compression $c --force
done
for c in none lz4hc gzip,6 xz; do
	tap "squashfs with compression $c" build "$tmp/c.img" "$tmp/store" --format squashfs \
		--compression $c --force
done

# ---- signing afterwards ----

tap "an unsigned image is built" build "$tmp/two.img" "$tmp/store"
tap_is "inspect shows its root hash" "$("$underlay" image inspect --json "$tmp/two.img" | jq -r '.slots[0].rootHash')" "$root_hash"
tap "and from where" grep -q "root hash: $root_hash, by the partitions' UUIDs" <("$underlay" image inspect "$tmp/two.img")
tap "what is to be signed is exported" "$underlay" image sign "$tmp/two.img" --export "$tmp/tbs"
tap "the root hash is exported as bare lower-case hex" test "$(cat "$tmp/tbs/root-hash")" = "$root_hash"
by_hand() {
	openssl smime -sign -binary -noattr -nocerts -md sha256 -outform DER -signer "$tmp/$2.crt" \
		-inkey "$tmp/$2.key" -in "$tmp/tbs/$1" -out "$tmp/tbs/$1.$2.p7s"
}
by_hand root-hash signer && by_hand descriptor signer
by_hand root-hash stranger && by_hand descriptor stranger
by_hand root-hash ec && by_hand descriptor ec
# add WHO [ROOT_HASH_BY [DESCRIPTOR_BY]]
add() {
	"$underlay" image sign "$tmp/two.img" --cert "$tmp/$1.crt" \
		--root-hash-signature "$tmp/tbs/root-hash.${2:-$1}.p7s" \
		--descriptor-signature "$tmp/tbs/descriptor.${3:-${2:-$1}}.p7s"
}
cp "$tmp/two.img" "$tmp/draft.img"
refused "signatures by another key than the certificate's" 1 "the signature of the root hash" add signer stranger
refused "a root hash signed by one and a descriptor by another" 1 "the signature of the descriptor" add signer signer stranger
tap "a refused signature changes nothing" cmp "$tmp/two.img" "$tmp/draft.img"
tap "signatures by openssl are put in" add signer
tap "two steps give the bytes of one" cmp "$tmp/two.img" "$tmp/a.img"
tap "signed anew by another key" "$underlay" image sign "$tmp/two.img" \
	--key "$tmp/stranger.key" --cert "$tmp/stranger.crt"
tap "and it is another image then" test "$(cmp "$tmp/two.img" "$tmp/a.img" | wc -l)" -eq 1
tap "signatures by an elliptic-curve key are put in" add ec
tap "signed again by the first key: the first bytes" "$underlay" image sign "$tmp/two.img" \
	--key "$tmp/signer.key" --cert "$tmp/signer.crt"
tap "equal once more" cmp "$tmp/two.img" "$tmp/a.img"
printf X | dd of="$tmp/draft.img" bs=1 seek=$((1048576 + 5000)) conv=notrunc status=none
refused "signing an image whose data was changed" 1 "does not match" "$underlay" image sign "$tmp/draft.img" \
	"${signed[@]}"

# ---- refusals ----

refused "a key that is not the certificate's" 1 "does not belong to the certificate" build "$tmp/refused.img" "$tmp/store" \
	--key "$tmp/stranger.key" --cert "$tmp/signer.crt"
refused "an unknown compression" 2 "One of: none lz4" build "$tmp/refused.img" "$tmp/store" \
	--compression brotli
refused "a level that does not exist" 2 "lz4hc[,0..12]" build "$tmp/refused.img" "$tmp/store" \
	--compression lz4hc,77
refused "a compression that the installed tool lacks" 3 "the installed mkfs.erofs does not have it" \
	build "$tmp/refused.img" "$tmp/store" --compression zstd
refused "an unknown format" 2 "is not erofs or squashfs" build "$tmp/refused.img" "$tmp/store" --format ext4
refused "a version that no label can carry" 2 "room for 36" build "$tmp/refused.img" "$tmp/store" \
	--version 1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16
refused "a name with an underscore" 2 "not a valid image name" build "$tmp/refused.img" "$tmp/store" \
	--name a_b
refused "an output that exists" 3 "it exists already" build "$tmp/a.img" "$tmp/store"
tap "the output that existed is as it was" cmp "$tmp/a.img" "$tmp/odd.img"
refused "a device as output" 3 "not a regular file" build /dev/null "$tmp/store"
refused "a system without init" 1 "no file \`init\`" build "$tmp/refused.img" "$tmp/store" \
	--system "/nix/store/$library"
refused "a system that is not in the closure" 1 "does not list it" build "$tmp/refused.img" \
	"$tmp/store" --system "/nix/store/99999999999999999999999999999999-stranger"
refused "a store that is not there" 3 "No such file" build "$tmp/refused.img" "$tmp/nowhere"

cp -a "$tmp/store" "$tmp/broken"
rm -f "$tmp/broken/$script"
refused "a path that is missing" 1 "$script: the manifest lists this path" build "$tmp/refused.img" "$tmp/broken"
mkfifo "$tmp/broken/$script"
refused "a fifo in the store" 1 "only files, directories and symbolic links" build \
	"$tmp/refused.img" "$tmp/broken"
rm "$tmp/broken/$script"
mkdir "$tmp/broken/$script"
: >"$tmp/broken/$script/lost+found"
refused "a name that this mkfs.erofs would leave out" 1 "lost+found" build "$tmp/refused.img" "$tmp/broken"

mount -t tmpfs -o size=300k tmpfs "$tmp/small"
refused "no space" 3 "No space left on device" build "$tmp/small/refused.img" "$tmp/store" --compression none
tap "no space: nothing is left behind" is_empty_dir "$tmp/small"
umount "$tmp/small"

# ---- interruption ----

interrupted() {
	local pid i
	build "$tmp/refused.img" "$tmp/big" --compression lz4hc,12 >"$tmp/out" 2>&1 &
	pid=$!
	for i in $(seq 200); do
		[ ! -e "$tmp/refused.img.tmp/filesystem" ] && [ ! -e "$tmp/refused.img.tmp/image" ] || break
		sleep 0.05
	done
	pid=$(pgrep -P $pid -x underlay || echo $pid)
	kill -TERM "$pid"
	wait
	grep -q interrupted "$tmp/out" && [ ! -e "$tmp/refused.img" ] && [ ! -e "$tmp/refused.img.tmp" ]
}
cp -a "$tmp/store" "$tmp/big"
chmod 755 "$tmp/big/$library"
dd if=/dev/urandom bs=1M count=8 status=none | base64 >"$tmp/big/$library/zeros"
for i in 1 2 3 4 5; do cat "$tmp/big/$library/zeros" >"$tmp/big/$library/zeros$i"; done
chmod 444 "$tmp/big/$library/"zeros*
tap "SIGTERM in the middle: it says so and leaves nothing behind" interrupted

mkdir -p "$tmp/stale.img.tmp/tree/nix/store/x"
chmod 555 "$tmp/stale.img.tmp/tree/nix/store/x"
: >"$tmp/stale.img.tmp/image"
tap "what a killed build left is no hindrance" build "$tmp/stale.img" "$tmp/store" "${signed[@]}"
tap "and does not show" cmp "$tmp/stale.img" "$tmp/a.img"
mkdir "$tmp/mine.img.tmp"
echo mine >"$tmp/mine.img.tmp/notes"
echo mine >"$tmp/mine.img.tmp/image"
tap "a directory of that name that no build left is refused" fails 3 \
	"$tmp/mine.img.tmp: no build left it, for it holds notes. Move it away, or build under another name.\$" \
	build "$tmp/mine.img" "$tmp/store" "${signed[@]}"
tap_is "and stays as it is" "$(cd "$tmp" && ls -d mine.img* && cd mine.img.tmp && head *)" \
	$'mine.img.tmp\n==> image <==\nmine\n\n==> notes <==\nmine'
tap_end
