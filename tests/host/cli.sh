#!/usr/bin/env bash
# The command line itself: help, misspellings, what is missing, output that is lost, signals, JSON, completion.
set -u
cd "$(dirname "$0")/../.." || exit 3
underlay=$PWD/${BUILD:-build}/underlay
dir=$(mktemp -d)
cleanup() {
	chmod -R u+w "$dir"
	rm -rf "$dir"
}
trap cleanup EXIT

# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
# shellcheck source=tests/lib/sealed.sh
. tests/lib/sealed.sh
# shellcheck source=tests/lib/cache.sh
. tests/lib/cache.sh

# wrong WORDS ARGUMENT...: wrong use, in two lines at most; the first one is the words.
wrong() {
	local words=$1 got
	shift
	"$underlay" "$@" >"$dir/none" 2>"$dir/out"
	got=$?
	[ $got -eq 2 ] && [ "$(head -n 1 "$dir/out")" = "$words" ] && [ "$(wc -l <"$dir/out")" -le 2 ] && [ ! -s "$dir/none" ]
	report $? "underlay $*: $words"
}

# ---- help ----

tables=$("$underlay" completion json)
helps() { # GROUP NAME
	local words=("$2") option
	[ "$1" = - ] || words=("$1" "$2")
	"$underlay" "${words[@]}" --help >"$dir/help" 2>"$dir/out" && [ ! -s "$dir/out" ] || return 1
	"$underlay" "${words[@]}" -h | cmp -s - "$dir/help" || return 1
	"$underlay" help "${words[@]}" | cmp -s - "$dir/help" || return 1
	grep -q "^usage: underlay ${words[*]}" "$dir/help" || return 1
	awk 'length > 96 || /\(default: \)/' "$dir/help" >"$dir/out"
	[ ! -s "$dir/out" ] || return 1
	jq -r --arg group "${1#-}" --arg name "$2" '.commands[] | select((.group // "") == $group and .name == $name) |
		.options[] | select(.name) | "--\(.name)"' <<<"$tables" >"$dir/options" || return 1
	while read -r option; do
		grep -qE "^  (-., |    )$option([ =]|\[|$)" "$dir/help" || { echo "no $option" >"$dir/out" && return 1; }
	done <"$dir/options"
}
take_lines names jq -r '.commands[] | "\(.group // "-") \(.name)"' <<<"$tables" || exit 1
for name in "${names[@]}"; do
	# shellcheck disable=SC2086 # words
	helps $name
	report $? "help of $name: each option, on lines of at most 96 columns, no default that is nothing"
done

"$underlay" image --help >"$dir/out" 2>&1 && [ "$(grep -c '^  image ' "$dir/out")" -eq 6 ]
report $? "underlay image --help lists the subcommands"
"$underlay" image >"$dir/none" 2>"$dir/out"
[ $? -eq 2 ] && [ ! -s "$dir/none" ] && grep -q '^  image build ' "$dir/out"
report $? "underlay image lists them as wrong use"
"$underlay" >"$dir/none" 2>"$dir/out"
[ $? -eq 2 ] && [ ! -s "$dir/none" ] && grep -q '^  image build ' "$dir/out"
report $? "underlay lists all commands as wrong use"

same_help() { # ARGUMENT...: what `underlay --help` prints
	same_output "$(printf '%q ' "$underlay" "$@")" "$underlay --help" >"$dir/out" 2>&1
	report $? "underlay $*: the help of all"
}
same_help help
same_help help help
same_help help --help
same_help --hel
same_help --help junk
for words in "help image --help" "image -- --help" "-- image --help" "image --he" "image --help junk"; do
	same_output "$underlay $words" "$underlay help image" >"$dir/out" 2>&1
	report $? "underlay $words: the help of the group"
done
same_output "$underlay image -- verify --hel" "$underlay help image verify" >"$dir/out" 2>&1
report $? "underlay image -- verify --hel: no option stands in front of the subcommand"

# ---- wrong use ----

wrong 'underlay: there is no command "imgae"; did you mean "image"?' imgae build
wrong 'underlay: there is no command "statsu"; did you mean "status"?' statsu
wrong 'underlay: there is no command "zzz"; see `underlay --help`' zzz
wrong 'underlay: there is no option "--verison"; did you mean "--version"?' --verison
wrong 'underlay image: there is no subcommand "biuld"; did you mean "build"?' image biuld
wrong 'underlay image: there is no subcommand "zzz"; see `underlay image --help`' image zzz
wrong 'underlay image build: there is no option "--sytem"; did you mean "--system"?' image build --sytem x
wrong 'underlay image build: there is no option "--zzzzz"' image build --zzzzz
wrong 'underlay image build: there is no option "-z"' image build -z
odd=$'a\e[31m\377' # what a terminal would obey
wrong 'underlay: there is no command "a\x1b[31m\xff"; see `underlay --help`' "$odd"
wrong 'underlay image: there is no subcommand "a\x1b[31m\xff"; see `underlay image --help`' image "$odd"
wrong 'underlay --version: "a\x1b[31m\xff" is one argument too many' --version "$odd"
wrong 'underlay image inspect: "a\x1b[31m\xff" is one argument too many' image inspect x "$odd"
wrong 'underlay image inspect: there is no option "--a\x1b[31m\xff"' image inspect "--$odd"
wrong 'underlay: there is no option "--help=1"; did you mean "--help"?' --help=1
wrong 'underlay image: there is no option "--hlep"; did you mean "--help"?' image --hlep
wrong 'underlay image build: there is no option "--hlep"; did you mean "--help"?' image build --hlep
wrong 'underlay gc: --help takes no value' gc --help=1
wrong 'underlay --version: "junk" is one argument too many' --version junk
wrong 'underlay help: "junk" is one argument too many' help image build junk
wrong 'underlay help: "junk" is one argument too many' help status junk
wrong 'underlay help: "--version" is one argument too many' help --version
wrong 'underlay image build: --c may be --closure, --cert or --compression' image build --c x
wrong 'underlay image locate: --h may be --hash-block or --help' image locate --h
sources='--system, --closure, --manifest, --registration or --database'
wrong "underlay image build: --output, --name, --version and ($sources) are missing" image build
wrong 'underlay initrd build: --output and (--modules-dir or --no-modules) are missing' initrd build
wrong 'underlay initrd build: --modules-dir or --no-modules is missing: a kernel that has everything built in needs no modules' \
	initrd build -o x
wrong 'underlay initrd build: --no-modules and --module exclude each other' initrd build -o x --no-modules --module ext4
wrong 'underlay initrd build: --no-modules and --modules-list exclude each other' initrd build -o x --no-modules --modules-list l
wrong 'underlay image build: --version is missing' image build -o x --name y --system s
wrong 'underlay image build: --name: NAME is missing' image build --name
needed=(-o x --name y --version 1)
wrong 'underlay image build: --system, --closure, --manifest, --registration or --database is missing: one of them must say which paths to take' \
	image build "${needed[@]}"
wrong 'underlay image build: --manifest and --database exclude each other' image build "${needed[@]}" --manifest a --database b
wrong 'underlay image build: --manifest and --closure exclude each other: a manifest is taken whole' \
	image build "${needed[@]}" --manifest a --closure b
wrong 'underlay image build: --cert is missing: --key needs it' image build "${needed[@]}" --system s --key k
wrong 'underlay image build: --key is missing: --cert needs it' image build "${needed[@]}" --system s --cert k
wrong 'underlay run: --kernel is missing: --cmdline needs it; a UKI has its own' run x --cmdline y
wrong 'underlay run: --upper is missing: --upper-size needs it' run x --upper-size 1G
wrong 'underlay disk build: --boot-loader is missing: --tries needs it; without one nothing counts' disk build -o x --image i --uki u --tries 2
wrong 'underlay image split: --uki is missing: --tries needs it' image split i -o x --device /dev/x --tries 2
wrong 'underlay uki build: --cert is missing: --key needs it' uki build -o x --kernel k --initrd i --key k
wrong 'underlay image build: --key is missing: --passphrase-file needs it' image build "${needed[@]}" --system s --passphrase-file k
wrong 'underlay image build: --threads: "0" is not a number from 1 to 1024' image build -j 0
wrong 'underlay image build: --threads: "4x" is not a number from 1 to 1024' image build --threads=4x
wrong 'underlay image build: --fec: "25" is not a number from 2 to 24' image build --fec=25
wrong 'underlay image build: --store-dir: "nix/store" is not an absolute path' image build --store-dir nix/store
wrong 'underlay manifest create: --store-dir: "." is not an absolute path' manifest create --store-dir .
wrong 'underlay image build: --format: "ext4" is not erofs or squashfs' image build --format ext4
wrong 'underlay image build: --force takes no value' image build --force=yes
wrong 'underlay image build: --format: erofs or squashfs is missing' image build --format
wrong 'underlay image build: "x" is one argument too many' image build x
wrong 'underlay image build: "4" is one argument too many: a value of --fec is written --fec=4' image build --fec 4
wrong 'underlay image build: "4" is one argument too many' image build --fec --force 4
wrong 'underlay image build: --output is given twice' image build -o x --output=y
wrong 'underlay image build: --threads is given twice' image build -j 1 -j 1
wrong 'underlay db build: MANIFEST: "" is not the name of a file' db build '' -o ''
wrong 'underlay db build: --output: "" is not the name of a directory' db build m -o ''
wrong 'underlay manifest create: --json: "" is not the name of a file' manifest create -o x --json=
wrong 'underlay image inspect: IMAGE is missing' image inspect
wrong 'underlay db compare: MANIFEST and DATABASE are missing' db compare
wrong 'underlay db compare: DATABASE is missing' db compare m
wrong 'underlay db reconcile: --lower is given twice' db reconcile --lower a --lower b
wrong 'underlay image sign: --key, --export or --root-hash-signature is missing' image sign x
wrong 'underlay image sign: --cert is missing: --key needs it' image sign x --key k
wrong 'underlay image sign: --descriptor-signature is missing: --root-hash-signature needs it' image sign x --root-hash-signature s
wrong 'underlay image locate: NUMBER[-NUMBER] or --damaged is missing' image locate x
wrong 'underlay image locate: NUMBER[-NUMBER] and --damaged exclude each other' image locate x 5 --damaged
wrong 'underlay manifest create: --registration, --json or --database is missing' manifest create -o x
wrong 'underlay completion: SHELL is missing' completion
wrong 'underlay manifest export: --format is missing' manifest export x
wrong 'underlay completion: SHELL: "ksh" is not bash, fish, zsh or json' completion ksh
wrong 'underlay timeline: "x" is one argument too many' timeline x

# ---- a store, an image, and what a boot would leave ----

make_store && identity seal && build "$dir/image" 1 --key "$dir/seal.key" --cert "$dir/seal.crt" --fec &&
	"$underlay" manifest create -o "$dir/manifest" --registration "$dir/registration" && mkdir -p "$dir/db" "$dir/upper/kept" &&
	"$underlay" db build "$dir/manifest" -o "$dir/db"
report $? "a store is sealed"
cat >"$dir/state.json" <<-'END'
	{"format": 1, "result": "ok", "underlay": "1", "lowers": [], "refused": [], "timeline": {"startUs": 1, "totalUs": 2, "stages": []}}
END

# ---- JSON ----

is_document() { # WANTED-STATUS ARGUMENT...
	local wanted=$1 got
	shift
	"$underlay" "$@" >"$dir/json" 2>"$dir/out"
	got=$?
	[ $got -eq "$wanted" ] && jq -e '.format == 1 and (keys_unsorted[0] == "format")' "$dir/json" >>"$dir/out" &&
		lacks -q '\\/' "$dir/json" && jq -e '[.. | objects | keys[] | select(test("_"))] == []' "$dir/json" >>"$dir/out"
	report $? "JSON of underlay ${*//$dir\//}: an object with its format, names in camelCase"
}
is_document 0 image build -o "$dir/second" --name demo --version 2 --system "$system" --registration "$dir/registration" \
	--store "$dir/root/nix/store" --json
is_document 0 image inspect "$dir/image" --json
is_document 0 image verify "$dir/image" --cert "$dir/seal.crt" --seal-only --json
is_document 1 image verify "$dir/second" --cert "$dir/seal.crt" --seal-only --json
is_document 0 image locate "$dir/image" 0-5 --json
is_document 0 image locate "$dir/image" --damaged --json
is_document 0 manifest show "$dir/manifest" --json
is_document 0 manifest check "$dir/manifest" --store "$dir/root/nix/store" --ignore-extra --json
is_document 0 db reconcile --upper "$dir/upper" --lower "$dir/manifest" --dry-run --json
is_document 0 status --file "$dir/state.json" --json
is_document 0 timeline --file "$dir/state.json" --json
is_document 0 completion json
jq '.failure = {stage: "\u001b[2J", sentence: "caf\u00e9"}' "$dir/state.json" >"$dir/odd.json"
"$underlay" status --file "$dir/odd.json" >"$dir/out"
[ $? -eq 1 ] && grep -qF 'failure    \x1b[2J: caf\xc3\xa9 (' "$dir/out"
report $? "status shows a terminal what is in state.json, and nothing that controls it"
no_document() { # WANTED-STATUS ARGUMENT...: what could not be found out is not told
	local wanted=$1 got
	shift
	"$underlay" "$@" --json >"$dir/json" 2>"$dir/out"
	got=$?
	[ $got -eq "$wanted" ] && [ ! -s "$dir/json" ] && [ -s "$dir/out" ]
	report $? "no JSON of underlay ${*//$dir\//}"
}
printf 'MZ' >"$dir/short"
no_document 3 image locate "$dir/none.raw" 3
no_document 1 image locate "$dir/image" 99999999
no_document 3 image inspect "$dir/none.raw"
no_document 3 manifest show "$dir/none.raw"
no_document 1 uki inspect "$dir/short"
no_document 3 db reconcile --upper "$dir/none.raw" --lower "$dir/manifest"
no_document 3 status --file "$dir/none.raw"
no_document 3 gc --file "$dir/none.raw"
"$underlay" image locate "$dir/image" 0-5 --json | jq -e '.places | map(select(.fileEnd) | .fileEnd > .fileStart) | length > 0 and all' >"$dir/out"
report $? "a range does not hold its end"

# ---- what is not there ----

absent() { # ARGUMENT...: 3, and one sentence of what "$dir/none.raw" is, without advice
	local got
	"$underlay" "$@" >"$dir/none" 2>"$dir/out"
	got=$?
	[ $got -eq 3 ] && [ ! -s "$dir/none" ] && grep -qx "underlay: [^:]*: $dir/none.raw: No such file or directory." "$dir/out"
	report $? "a file that is missing is no bad file: underlay ${*//$dir\//}"
}
absent manifest show "$dir/none.raw"
absent manifest export "$dir/none.raw" --format json
absent manifest create -o "$dir/x" --database "$dir/none.raw"
absent manifest create -o "$dir/x" --registration "$dir/none.raw"
absent db build "$dir/none.raw" -o "$dir/db"
absent db build "$dir/manifest" -o "$dir/db" --merge-from "$dir/none.raw"
absent db compare "$dir/manifest" "$dir/none.raw"
absent image inspect "$dir/none.raw"
absent image verify "$dir/image" --policy "$dir/none.raw"
absent image verify "$dir/image" --cert "$dir/none.raw"
absent uki inspect "$dir/none.raw"
absent status --file "$dir/none.raw"
absent gc --file "$dir/none.raw"
"$underlay" uki inspect --cert "$dir/none.raw" --json /usr/lib/systemd/boot/efi/linuxx64.efi.stub >"$dir/none" 2>"$dir/out"
[ $? -eq 3 ] && [ ! -s "$dir/none" ] && grep -qx "underlay: reading the certificate: $dir/none.raw: No such file or directory." "$dir/out"
report $? "a certificate that is missing is no other signature"
"$underlay" initrd build -o "$dir/x" --modules-dir "$dir/none.raw" 2>"$dir/out"
[ $? -eq 3 ] && grep -q "$dir/none.raw: No such file or directory. Give the directory" "$dir/out"
report $? "a tree of modules that is missing is no bad one"
# In a mount namespace of its own, so that no state of this machine's is there.
unshare --mount sh -c 'mkdir -p /run/underlay && mount -t tmpfs tmpfs /run/underlay && exec "$1" status' sh "$underlay" 2>"$dir/out"
[ $? -eq 3 ] && grep -qx 'underlay: .*: it is not there: this system was not started by underlay-init.' "$dir/out"
report $? "this machine's own state that is missing tells how it was started"
# As a user without rights, whom root's own file is closed to.
mkdir "$dir/closed" && cp "$dir/manifest" "$dir/db/db.sqlite" "$dir/closed" && chmod 0600 "$dir"/closed/* && chmod 0711 "$dir"
for command in "manifest show $dir/closed/manifest" "manifest create -o /nonexistent/x --database $dir/closed/db.sqlite"; do
	# shellcheck disable=SC2086 # words
	setpriv --reuid=65534 --regid=65534 --clear-groups "$underlay" $command >"$dir/none" 2>"$dir/out"
	[ $? -eq 3 ] && grep -q 'closed/.*: Permission denied.$' "$dir/out"
	report $? "a file that may not be read is no bad file: underlay ${command%% [-/]*}"
done

# ---- what is something else ----

other() { # WANTED-STATUS SENTENCE ARGUMENT...: the sentence alone; nobody is kept waiting
	local wanted=$1 sentence=$2 got
	shift 2
	timeout 20 "$underlay" "$@" >"$dir/none" 2>"$dir/out"
	got=$?
	[ $got -eq "$wanted" ] && [ ! -s "$dir/none" ] && [ "$(cat "$dir/out")" = "underlay: $sentence" ]
	report $? "underlay ${*//$dir\//}: ${sentence//$dir\//}"
}
mkdir "$dir/folder" && mkfifo "$dir/pipe" && : >"$dir/empty" && cert=(--cert "$dir/seal.crt")
for thing in "$dir/folder" "$dir/pipe" /dev/null; do
	no_image="reading the partition table: $thing: it is neither a block device nor a file."
	other 3 "$no_image" image inspect "$thing"
	other 3 "$no_image" image verify "$thing" "${cert[@]}"
	other 3 "$no_image" image locate "$thing" 1
	other 3 "$no_image" image sign "$thing" --key "$dir/seal.key" "${cert[@]}"
	other 3 "$no_image" db reconcile --upper "$dir/upper" --lower "$thing" "${cert[@]}" --dry-run
	other 1 "reading the database: $thing: it is not a regular file." db compare "$dir/manifest" "$thing"
	other 1 "reading the database: $thing: it is not a regular file." db build "$dir/manifest" -o "$dir/db" --merge-from "$thing"
done
other 1 "signing the image: $dir/empty: it holds no store image. Build one by \`underlay image build\`." \
	image sign "$dir/empty" --key "$dir/seal.key" "${cert[@]}"
other 1 "opening the lower: $dir/empty: it holds no store image. Build one by \`underlay image build\`." \
	db reconcile --upper "$dir/upper" --lower "$dir/empty" "${cert[@]}" --dry-run
other 1 "choosing the image on the disk: $dir/image: no store image in it has the label \"demo_9\". \`underlay image inspect\` lists the labels." \
	image locate "$dir/image" 1 --label demo_9
hash_blocks=$(($("$underlay" image inspect --json "$dir/image" | jq '.partitions[1].size') / 4096))
other 1 "locating a block: $dir/image: it has $hash_blocks hash blocks, so there is no number $hash_blocks." \
	image locate "$dir/image" --hash-block "$hash_blocks"
other 1 "reading the state of the boot: $dir/short: it is not JSON: unexpected character." status --file "$dir/short"
none="no certificate is trusted: it holds none. Give the signer's certificate by --cert."
other 1 "loading the trusted certificates: $dir/folder: $none" image verify "$dir/image" --certs "$dir/folder"
other 3 "loading the trusted certificates: $dir/none.raw: No such file or directory." image verify "$dir/image" --certs "$dir/none.raw"
echo '[verify]' >"$dir/policy"
other 1 "loading the trusted certificates: $dir/folder: $none" image verify "$dir/image" --policy "$dir/policy" --certs "$dir/folder"
for name in "$(printf 'n%.0s' {1..64})" a_b; do
	other 2 "checking the name: $name: it is not a valid image name. Give 1 to 63 letters, digits and . + ~ ^ -." \
		image build -o "$dir/x" --name "$name" --version 1 --registration "$dir/registration" --store "$dir/root/nix/store"
done

# shellcheck disable=SC2016 # the inner shell's
unshare --mount sh -c '[ ! -d /nix/var/nix/db ] || mount -t tmpfs tmpfs /nix/var/nix/db; exec "$@"' sh \
	"$underlay" image build -o "$dir/x" --name demo --version 1 --system "$system" 2>"$dir/out"
[ $? -eq 3 ] && [ "$(cat "$dir/out")" = "underlay: reading Nix's database: /nix/var/nix/db/db.sqlite: this machine has none. Name what lists the store paths by --database, --registration or --manifest." ]
report $? "a machine without Nix's database is told what to name"

# What a pipe holds whose other end failed.
"$underlay" manifest create -o "$dir/nothing" --registration "$dir/empty" >"$dir/none" 2>"$dir/out" &&
	[ "$(cat "$dir/out")" = "underlay: note: no store path was given." ]
report $? "a manifest of nothing is told"

# A mount point on which nothing is mounted.
cp "$dir/short" "$dir/folder/mine"
no_upper="opening the upper: $dir/folder: it is not an upper: it has neither kept, sessions nor var/nix. Mount the upper, and name the root of its filesystem."
other 3 "$no_upper" db reconcile --upper "$dir/folder" --lower "$dir/manifest"
other 3 "$no_upper" mark-clean --upper "$dir/folder"
tap_is "what is no upper stays as it is" "$(ls -A "$dir/folder")" mine
(
	flock 9
	other 3 "locking the upper: $dir/upper/lock: another program is changing the upper. Wait until it is done." \
		db reconcile --upper "$dir/upper" --lower "$dir/manifest"
) 9>"$dir/upper/lock"

# ---- where output goes ----

# writes WHAT COMMAND...: `-o` of a command that replaces its output whole or not at all.
writes() {
	local what=$1
	shift
	rm -rf "$dir/to" && mkdir -p "$dir/to/there"
	"$@" -o "$dir/to/plain" >"$dir/none" 2>"$dir/out" && [ -s "$dir/to/plain" ]
	report $? "$what: a file is written"

	mknod "$dir/to/nul" c 1 3
	"$@" -o "$dir/to/nul" >"$dir/none" 2>"$dir/out" && [ "$(stat -c '%F %t %T' "$dir/to/nul")" = "character special file 1 3" ]
	report $? "$what: a character device is written to, and stays one"
	mkfifo "$dir/to/pipe"
	timeout 20 cat "$dir/to/pipe" >"$dir/to/read" &
	"$@" -o "$dir/to/pipe" >"$dir/none" 2>"$dir/out" && wait $! && [ -p "$dir/to/pipe" ] && cmp "$dir/to/plain" "$dir/to/read" >>"$dir/out"
	report $? "$what: so is a pipe"
	kill $! 2>>"$dir/out"

	echo old >"$dir/to/there/target"
	ln -s there/target "$dir/to/link" && ln -s "$dir/to/link" "$dir/to/link2" && ln -s there/new "$dir/to/dangling" && ln -s loop "$dir/to/loop"
	"$@" -o "$dir/to/link2" >"$dir/none" 2>"$dir/out" && [ -L "$dir/to/link" ] && [ -L "$dir/to/link2" ] &&
		cmp "$dir/to/plain" "$dir/to/there/target" >>"$dir/out"
	report $? "$what: of symlinks the target is replaced"
	"$@" -o "$dir/to/dangling" >"$dir/none" 2>"$dir/out" && [ -L "$dir/to/dangling" ] && cmp "$dir/to/plain" "$dir/to/there/new" >>"$dir/out"
	report $? "$what: one whose target is missing has it made"
	"$@" -o "$dir/to/loop" >"$dir/none" 2>"$dir/out"
	[ $? -eq 3 ] && grep -q 'Too many levels of symbolic links' "$dir/out" && [ -L "$dir/to/loop" ]
	report $? "$what: one that leads to itself is told"

	# A major number of no driver.
	mknod "$dir/to/block" b 240 0
	"$@" -o "$dir/to/block" >"$dir/none" 2>"$dir/out"
	[ $? -eq 3 ] && grep -q 'it exists and is neither a file nor a pipe nor a character device. Name a file.$' "$dir/out" &&
		[ -b "$dir/to/block" ]
	report $? "$what: a block device is refused"
	"$@" -o "$dir/to/there" >"$dir/none" 2>"$dir/out"
	[ $? -eq 3 ] && grep -q 'it exists and is neither a file' "$dir/out" && [ -d "$dir/to/there" ]
	report $? "$what: so is a directory"
	# What has the name that a temporary file could have is the user's, and so is a directory of that name.
	rm -rf "$dir/to"/* && echo mine >"$dir/to/plain.tmp" && mkdir "$dir/to/short.tmp" && 
		long=$(printf 'n%.0s' {1..255}) && "$@" -o "$dir/to/plain" >"$dir/none" 2>"$dir/out" &&
		"$@" -o "$dir/to/short" >>"$dir/none" 2>>"$dir/out" && "$@" -o "$dir/to/$long" >>"$dir/none" 2>>"$dir/out"
	report $? "$what: it is written beside a .tmp of the user's, and under the longest name"
	tap_is "$what: nothing of the user's is gone, and nothing else is left" "$(cat "$dir/to/plain.tmp") $(ls -A "$dir/to")" \
		"mine $(printf '%s\n' "$long" plain plain.tmp short short.tmp)"
}
writes "manifest create" "$underlay" manifest create --registration "$dir/registration"
writes "initrd build" "$underlay" initrd build --no-modules --compress zstd,1
writes "uki build" "$underlay" uki build --kernel "$(cache_kernel 6.12)" --initrd "$dir/short"
# What `image sign --export` writes has its names from us, and a user may have put something else under them.
export_to() {
	rm -rf "$dir/tbs" && mkdir "$dir/tbs" && (cd "$dir/tbs" && eval "$1") &&
		"$underlay" image sign "$dir/image" --export "$dir/tbs" >"$dir/none" 2>"$dir/out"
}
export_to : && cp -r "$dir/tbs" "$dir/tbs.plain" && grep -qE '^[0-9a-f]{64}$' "$dir/tbs/root-hash" && [ -s "$dir/tbs/descriptor" ]
report $? "image sign --export: two files are written"
export_to 'echo old >target; ln -s target root-hash; mknod descriptor c 1 3; echo mine >root-hash.tmp; echo mine >target.tmp' &&
	[ -L "$dir/tbs/root-hash" ] && [ "$(stat -c '%F %t %T' "$dir/tbs/descriptor")" = "character special file 1 3" ] &&
	same "$dir/tbs/target" "$dir/tbs.plain/root-hash"
report $? "image sign --export: of a symlink the target is replaced, and a device is written to"
tap_is "image sign --export: nothing of the user's is gone, and nothing else is left" \
	"$(cat "$dir/tbs/root-hash.tmp" "$dir/tbs/target.tmp") $(ls -A "$dir/tbs")" $'mine\nmine descriptor\nroot-hash\nroot-hash.tmp\ntarget\ntarget.tmp'
export_to 'mkdir descriptor'
[ $? -eq 3 ] && grep -qx "underlay: writing what is to be signed: $dir/tbs/descriptor: it exists and is neither a file nor a pipe nor a character device. Name a file." "$dir/out"
report $? "image sign --export: a directory is refused"
# What was there stays, and what follows comes behind it. The link is our own: /dev/stdout is not for a test to lose.
ln -s /proc/self/fd/1 "$dir/stdout"
(
	echo before
	"$underlay" manifest create -o "$dir/stdout" --registration "$dir/registration"
	echo behind
) >"$dir/all" 2>"$dir/out" && same_output 'cat "$dir/all"' 'echo before && cat "$dir/manifest" && echo behind' >>"$dir/out" 2>&1 && [ -L "$dir/stdout" ]
report $? "standard output that is a file: its other lines stay, and so does the link to it"
"$underlay" manifest create -o "$dir/stdout" --registration "$dir/registration" 2>"$dir/out" | cmp - "$dir/manifest" >>"$dir/out"
report $? "standard output that is a pipe is written to"

# ---- output that is lost ----

lost() { # ARGUMENT...: to a full disk, and to a standard output that is closed
	local got
	"$underlay" "$@" >/dev/full 2>"$dir/out"
	got=$?
	[ $got -eq 3 ] && grep -qx 'underlay: writing to standard output: No space left on device' "$dir/out"
	report $? "underlay ${*//$dir\//}: a full disk is told"
	"$underlay" "$@" >&- 2>"$dir/out"
	got=$?
	[ $got -eq 3 ] && grep -qx 'underlay: writing to standard output: it is closed' "$dir/out"
	report $? "underlay ${*//$dir\//}: a closed standard output is told"
}
lost --help
lost --version
lost help image build
lost image --help
lost image build --help
for word in bash fish zsh json; do
	lost completion $word
done
lost image inspect "$dir/image"
lost image inspect "$dir/image" --json
lost image verify "$dir/image" --cert "$dir/seal.crt" --seal-only
lost image verify "$dir/second" --cert "$dir/seal.crt" --seal-only --json
lost image locate "$dir/image" 1
lost manifest show "$dir/manifest"
lost status --file "$dir/state.json"
lost timeline --file "$dir/state.json" --json
"$underlay" db compare "$dir/manifest" "$dir/db/db.sqlite" >&- 2>"$dir/out" && [ ! -s "$dir/out" ]
report $? "a closed standard output is fine where nothing is written to it"

# SQLite gets the path in a URI, where these bytes and two slashes in front mean something else.
odd_names=0
for name in "$dir/copy" "/$dir/copy.2" "$dir/a?mode=memory#b%41 c"; do
	cp "$dir/db/db.sqlite" "$name" 2>"$dir/out" &&
		"$underlay" db compare "$dir/manifest" "$name" >>"$dir/out" 2>&1 &&
		"$underlay" manifest create -o "$dir/again.$odd_names" --database "$name" >>"$dir/out" 2>&1 && odd_names=$((odd_names + 1))
done
tap_is "a database is found under every name that a file can have" "$odd_names" 3

# The image must not be opened as descriptor 1 and get the summary written into it.
"$underlay" image build -o "$dir/third" --name demo --version 3 --system "$system" --registration "$dir/registration" \
	--store "$dir/root/nix/store" --key "$dir/seal.key" --cert "$dir/seal.crt" >&- 2>"$dir/out"
[ $? -eq 3 ] && "$underlay" image verify "$dir/third" --cert "$dir/seal.crt" --seal-only >>"$dir/out"
report $? "nothing is written into an image in place of a closed standard output"

# ---- signals ----

# A mkfs.erofs that does not end, but for questions about itself.
mkdir "$dir/bin"
cat >"$dir/bin/mkfs.erofs" <<-END
	#!/bin/sh
	case "\$*" in *--help* | *-V* | *--version*) exec $(command -v mkfs.erofs) "\$@" ;; esac
	touch "$dir/began"
	exec sleep 60
END
chmod +x "$dir/bin/mkfs.erofs"
# signalled SIGNAL COMMAND...: print the number of the signal that ended the command, else its status with a minus.
signalled() {
	local signal=$1
	shift
	perl -e '
		my ($signal, $file, @command) = @ARGV;
		my $child = fork();
		if (!$child) { $SIG{INT} = $SIG{HUP} = "DEFAULT"; exec @command }
		for (1 .. 300) { last if -e $file; select(undef, undef, undef, 0.1) }
		kill $signal, $child;
		waitpid $child, 0;
		print(($? & 127) || "-" . ($? >> 8), "\n");
	' "$signal" "$dir/began" "$@" 2>"$dir/out"
}
for signal in INT:2 TERM:15 HUP:1; do
	rm -f "$dir/began"
	got=$(PATH=$dir/bin:$PATH signalled "${signal%:*}" "$underlay" image build -o "$dir/broken" --name demo --version 4 \
		--system "$system" --registration "$dir/registration" --store "$dir/root/nix/store")
	[ "$got" = "${signal#*:}" ] && [ -e "$dir/began" ] && says_nothing find "$dir" -maxdepth 1 -name 'broken*'
	report $? "image build: SIG${signal%:*} ends it by that signal, and leaves no file"
done

# At any moment: a temporary database, and the directory that an image is mounted on.
mkdir "$dir/tmp" "$dir/db2"
for i in $(seq 12); do
	TMPDIR=$dir/tmp timeout -s INT "0.0$((i * 3 % 10))$i" "$underlay" image verify "$dir/image" --cert "$dir/seal.crt" --contents
	timeout -s TERM "0.00$i" "$underlay" db build "$dir/manifest" -o "$dir/db2" --durable
done >"$dir/none" 2>&1
is_empty_dir "$dir/tmp" && says_nothing find "$dir/db2" -name '*.tmp'
report $? "image verify and db build leave nothing behind when they are interrupted"

# ---- completion ----

completes() { # WANTED WORD...: what bash offers for the last word
	local wanted=$1 got
	shift
	got=$(bash -c '
		compopt() { echo "compopt $*"; }
		. "$1"; shift
		COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
		_underlay; echo ${COMPREPLY[@]}' bash "$dir/completion" "$@" 2>"$dir/out" | paste -sd' ')
	echo "$got" >>"$dir/out"
	[ "$got" = "$wanted" ]
	report $? "completion in bash: ${*:1:$#} -> $wanted"
}
"$underlay" completion bash >"$dir/completion"
bash -n "$dir/completion"
report $? "the script for bash is one"
completes "image" underlay im
completes "build" underlay image b
completes "help" underlay he
completes "image" underlay help im
completes "build" underlay help image b
completes "compopt +o default " underlay help image build --
completes "compopt +o default " underlay help status ""
completes "--help" underlay image --
completes "erofs squashfs" underlay image build --format ""
completes "squashfs" underlay image build --format s
completes "erofs" underlay image build --format = er
completes "erofs squashfs" underlay image build --format =
completes "--registration --rollback-index" underlay image build --r
completes "bash fish zsh json" underlay completion ""
completes "--json" underlay status --j
for shell in fish zsh; do
	"$underlay" completion $shell >"$dir/out" && grep -q help "$dir/out" && grep -qF "tell a command" "$dir/out"
	report $? "the script for $shell offers help"
done
completes "" underlay image inspect ""
completes "" underlay image build --key ""
completes "compopt -o dirnames +o default " underlay image build --store ""
completes "compopt +o default " underlay image build --name ""
tap_end
