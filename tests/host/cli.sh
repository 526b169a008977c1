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
	awk 'length > 96' "$dir/help" >"$dir/out"
	[ ! -s "$dir/out" ] || return 1
	while read -r option; do
		grep -qE "^  (-., |    )$option([ =]|\[|$)" "$dir/help" || { echo "no $option" >"$dir/out" && return 1; }
	done < <(jq -r --arg group "${1#-}" --arg name "$2" '.commands[] | select((.group // "") == $group and .name == $name) |
		.options[] | select(.name) | "--\(.name)"' <<<"$tables")
}
while read -r group name; do
	helps "$group" "$name"
	report $? "help of $group $name: each option, on lines of at most 96 columns"
done < <(jq -r '.commands[] | "\(.group // "-") \(.name)"' <<<"$tables")

"$underlay" image --help >"$dir/out" 2>&1 && [ "$(grep -c '^  image ' "$dir/out")" -eq 5 ]
report $? "underlay image --help lists the subcommands"
"$underlay" image >"$dir/none" 2>"$dir/out"
[ $? -eq 2 ] && [ ! -s "$dir/none" ] && grep -q '^  image build ' "$dir/out"
report $? "underlay image lists them as wrong use"
"$underlay" >"$dir/none" 2>"$dir/out"
[ $? -eq 2 ] && [ ! -s "$dir/none" ] && grep -q '^  image build ' "$dir/out"
report $? "underlay lists all commands as wrong use"

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
wrong 'underlay image build: --output, --name and --version are missing' image build
wrong 'underlay image build: --version is missing' image build -o x --name y
wrong 'underlay image build: --name: NAME is missing' image build --name
needed=(-o x --name y --version 1)
wrong 'underlay image build: --system, --closure, --manifest, --registration or --database is missing: one of them must say which paths to take' \
	image build "${needed[@]}"
wrong 'underlay image build: --manifest and --database exclude each other' image build "${needed[@]}" --manifest a --database b
wrong 'underlay image build: --manifest and --closure exclude each other: a manifest is taken whole' \
	image build "${needed[@]}" --manifest a --closure b
wrong 'underlay image build: --key and --cert belong together: --cert is missing' image build "${needed[@]}" --system s --key k
wrong 'underlay image build: --passphrase-file needs --key' image build "${needed[@]}" --system s --passphrase-file k
wrong 'underlay image build: --threads: "0" is not a number from 1 to 1024' image build -j 0
wrong 'underlay image build: --threads: "4x" is not a number from 1 to 1024' image build --threads=4x
wrong 'underlay image build: --fec: "25" is not a number from 2 to 24' image build --fec=25
wrong 'underlay image build: --format: "ext4" is not erofs or squashfs' image build --format ext4
wrong 'underlay image build: --force takes no value' image build --force=yes
wrong 'underlay image build: "x" is one argument too many' image build x
wrong 'underlay image inspect: IMAGE is missing' image inspect
wrong 'underlay db compare: MANIFEST and DATABASE are missing' db compare
wrong 'underlay db compare: DATABASE is missing' db compare m
wrong 'underlay db reconcile: --lower is given twice' db reconcile --lower a --lower b
wrong 'underlay image sign: --key, --export or --root-hash-signature is missing' image sign x
wrong 'underlay image sign: --key needs --cert' image sign x --key k
wrong 'underlay image locate: NUMBER[-NUMBER] or --damaged is missing' image locate x
wrong 'underlay image locate: NUMBER[-NUMBER] and --damaged exclude each other' image locate x 5 --damaged
wrong 'underlay manifest create: --registration, --json or --database is missing' manifest create -o x
wrong 'underlay manifest export: --format is missing' manifest export x
wrong 'underlay completion: bash|fish|zsh|json: "ksh" is not bash, fish, zsh or json' completion ksh
wrong 'underlay timeline: "x" is one argument too many' timeline x

# ---- a store, an image, and what a boot would leave ----

make_store && identity seal && build "$dir/image" 1 --key "$dir/seal.key" --cert "$dir/seal.crt" --fec &&
	"$underlay" manifest create -o "$dir/manifest" --registration "$dir/registration" && mkdir "$dir/db" "$dir/upper" &&
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
"$underlay" image locate "$dir/image" 0-5 --json | jq -e '.places | map(select(.fileEnd) | .fileEnd > .fileStart) | length > 0 and all' >"$dir/out"
report $? "a range does not hold its end"

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
	[ "$got" = "${signal#*:}" ] && [ -e "$dir/began" ] && [ -z "$(find "$dir" -maxdepth 1 -name 'broken*')" ]
	report $? "image build: SIG${signal%:*} ends it by that signal, and leaves no file"
done

# At any moment: a temporary database, and the directory that an image is mounted on.
mkdir "$dir/tmp" "$dir/db2"
for i in $(seq 12); do
	TMPDIR=$dir/tmp timeout -s INT "0.0$((i * 3 % 10))$i" "$underlay" image verify "$dir/image" --cert "$dir/seal.crt" --contents
	timeout -s TERM "0.00$i" "$underlay" db build "$dir/manifest" -o "$dir/db2" --durable
done >"$dir/none" 2>&1
[ -z "$(find "$dir/tmp" -mindepth 1)" ] && [ -z "$(find "$dir/db2" -name '*.tmp')" ]
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
completes "erofs squashfs" underlay image build --format ""
completes "squashfs" underlay image build --format s
completes "erofs" underlay image build --format = er
completes "erofs squashfs" underlay image build --format =
completes "--registration --rollback-index" underlay image build --r
completes "bash fish zsh json" underlay completion ""
completes "--json" underlay status --j
completes "" underlay image inspect ""
completes "" underlay image build --key ""
completes "compopt -o dirnames +o default " underlay image build --store ""
completes "compopt +o default " underlay image build --name ""
tap_end
