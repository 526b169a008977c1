#!/usr/bin/env bash
# `underlay manifest check` on a store that real Nix made: clean, and with every kind of damage at once.
set -u
build=${BUILD:-build}
cd "$(dirname "$0")/../.." || exit 1
underlay=$PWD/$build/underlay
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
export NIX_STORE_DIR=$dir/store NIX_STATE_DIR=$dir/var NIX_LOG_DIR=$dir/log NIX_CONF_DIR=$dir/conf
export NIX_REMOTE='' HOME=$dir

# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh

mkdir -p "$dir/conf" "$dir/src"
cp -r common dbgen verity "$dir/src/"
for i in $(seq 40); do
	mkdir "$dir/src/tree$i"
	head -c $((i * 7000)) /dev/urandom >"$dir/src/tree$i/data"
	ln -s data "$dir/src/tree$i/link"
	printf '#!/bin/sh\necho %s\n' "$i" >"$dir/src/tree$i/run"
	chmod +x "$dir/src/tree$i/run"
done
nix-store --add "$dir"/src/* >"$dir/paths"
nix-store --add-fixed sha256 Makefile >>"$dir/paths"
nix-store --dump-db >"$dir/registration"
"$underlay" manifest create --store-dir "$NIX_STORE_DIR" --registration "$dir/registration" -o "$dir/manifest"
report $? "a manifest of the store is made"

for jobs in 1 2 7; do
	"$underlay" manifest check --store "$NIX_STORE_DIR" -j "$jobs" "$dir/manifest" >"$dir/out" 2>"$dir/err"
	[ $? -eq 0 ] && grep -qx "44 paths, [0-9]* bytes of NARs checked: 0 bad, 0 missing, 0 extra" "$dir/out" &&
		[ ! -s "$dir/err" ]
	report $? "a store that Nix made is clean with $jobs threads"
done
"$underlay" manifest check "$dir/manifest" >/dev/null
report $? "without --store the manifest's own store directory is checked"

store() { sort "$dir/paths" | sed -n "$1p"; }
chmod -R u+w "$NIX_STORE_DIR"
bytes=$(store 3) mode=$(store 9) gone=$(store 14) fifo=$(store 20) longer=$(store 30) link=$(store 35)
first=$(cd "$NIX_STORE_DIR" && find "$bytes" -type f | sort | head -n 1)
printf X | dd of="$first" bs=1 seek=5 conv=notrunc status=none
find "$mode" -type f -exec chmod +x {} +
[ -f "$mode" ] || find "$mode" -name run -exec chmod -x {} +
rm -rf "$gone"
rm -rf "$fifo" && mkdir "$fifo" && mkfifo "$fifo/pipe"
first=$(find "$longer" -type f | sort | head -n 1)
printf "sixteen bytes ..." >>"$first" # more than the padding of a NAR can take up
rm -rf "$link" && ln -s nowhere "$link"
touch "$NIX_STORE_DIR/aaaa" "$NIX_STORE_DIR/zzzz" "$NIX_STORE_DIR/"$'evil\033[2Jname'
mkdir -p "$NIX_STORE_DIR/.links"

"$underlay" manifest check --store "$NIX_STORE_DIR" "$dir/manifest" >"$dir/out" 2>"$dir/err"
[ $? -eq 1 ]
report $? "a damaged store has exit status 1"
expect() { grep -qE "$1" "$dir/out"; report $? "$2"; }
expect "^bad $bytes: its NAR hash is sha256:[0-9a-z]{52}, the manifest says sha256:[0-9a-z]{52}$" "an altered byte"
expect "^bad $mode: its NAR (hash|has)" "an altered executable bit"
expect "^missing $gone: the store does not hold it$" "a missing path"
expect "^bad $fifo: ${fifo##*/}/pipe: it is a device, socket or FIFO$" "a FIFO in a path"
expect "^bad $longer: its NAR has [0-9]+ bytes, the manifest says [0-9]+$" "a longer file"
expect "^bad $link: its NAR has" "a symlink in a directory's place"
expect "^extra $NIX_STORE_DIR/aaaa: the manifest does not list it$" "a path that is not listed"
expect '^extra .*/evil\\x1b\[2Jname: ' "a hostile name is printed harmlessly"
expect "^44 paths, .*: 5 bad, 1 missing, 3 extra$" "the count"
[ "$(grep -c '' "$dir/out")" -eq 10 ] && lacks -q '\.links' "$dir/out"
report $? "nothing else is told"
head -n 9 "$dir/out" | cut -d' ' -f2 | cut -d: -f1 | LC_ALL=C sort -c
report $? "findings come in path order"

for jobs in 1 2 7; do
	"$underlay" manifest check --store "$NIX_STORE_DIR" -j "$jobs" "$dir/manifest" | cmp - "$dir/out"
	report $? "the same report with $jobs threads"
done
"$underlay" manifest check --store "$NIX_STORE_DIR" --ignore-extra "$dir/manifest" >"$dir/quiet"
[ $? -eq 1 ] && lacks -q ^extra "$dir/quiet" && grep -q '5 bad, 1 missing, 0 extra$' "$dir/quiet"
report $? "--ignore-extra leaves out what is not listed"
"$underlay" manifest check --json --store "$NIX_STORE_DIR" "$dir/manifest" >"$dir/json"
[ $? -eq 1 ] && [ "$(jq -r '"\(.paths) \(.bad) \(.missing) \(.extra) \(.findings | length)"' "$dir/json")" = "44 5 1 3 9" ] &&
	[ "$(jq -r '.findings[] | select(.finding == "missing") | .path' "$dir/json")" = "$gone" ]
report $? "--json tells the same"
# A name of any bytes gives JSON all the same. (jq itself mends what is not UTF-8.)
touch "$NIX_STORE_DIR/"$'zz\377caf\303\251\n'
"$underlay" manifest check --json --store "$NIX_STORE_DIR" "$dir/manifest" >"$dir/json"
iconv -f UTF-8 -t UTF-8 "$dir/json" >"$dir/out" &&
	jq -e --arg path "$NIX_STORE_DIR/"$'zz\\xffcaf\303\251\n' 'any(.findings[]; .path == $path)' "$dir/json" >"$dir/out"
report $? "--json is UTF-8 though a name is not"

"$underlay" manifest check --store "$dir/none" "$dir/manifest" 2>"$dir/err"
[ $? -eq 3 ] && grep -q "opening the store: $dir/none: No such file" "$dir/err"
report $? "a store that is not there has exit status 3 and a sentence"
"$underlay" manifest check -j 0 "$dir/manifest" 2>"$dir/err"
[ $? -eq 2 ] && grep -q "usage: underlay manifest check" "$dir/err"
report $? "a wrong -j is wrong usage"
head -c 100 "$dir/manifest" >"$dir/cut"
"$underlay" manifest check --store "$NIX_STORE_DIR" "$dir/cut" 2>"$dir/err"
[ $? -eq 1 ] && [ "$(wc -l <"$dir/err")" -eq 1 ]
report $? "a cut manifest has exit status 1 and one sentence"
tap_end
