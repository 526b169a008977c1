#!/usr/bin/env bash
# Checking a store: `underlay manifest check` against `nix-store --verify --check-contents`, by turns, on a
# store that real Nix makes of this machine's own files; beside them the two floors, reading and hashing.
# First with the store in the page cache, then with the cache dropped before each run (needs root).
#
#   tests/bench/check.sh [MEGABYTES] [ROUNDS]
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$PWD/${BUILD:-build}
want=${1:-1024} rounds=${2:-5} jobs=$(nproc)
# Not below build/: a store holds names that make would take for its own (*.d).
bench_dir=$(mktemp -d "${TMPDIR:-/var/tmp}/underlay-bench.XXXXXX")
trap 'chmod -R u+w "$bench_dir"; rm -rf "$bench_dir"' EXIT
. tests/bench/lib.sh
export NIX_STORE_DIR=$bench_dir/store NIX_STATE_DIR=$bench_dir/var NIX_LOG_DIR=$bench_dir/log
export NIX_CONF_DIR=$bench_dir/conf NIX_REMOTE='' HOME=$bench_dir
mkdir -p "$NIX_CONF_DIR"

# Programs, libraries, documents: files large and small, as a store has them, until there are enough.
have=0
while read -r kilobytes path && [ "$have" -lt $((want * 1024)) ]; do
	nix-store --add "$path" >>"$bench_dir/paths" 2>"$bench_dir/stderr" || continue
	have=$((have + kilobytes))
done < <(find /usr/lib /usr/share /usr/bin -mindepth 1 -maxdepth 2 \( -type f -o -type d \) -readable -print0 |
	sort -z | grep -zE '^/usr/(bin|lib|share)/[^/]+$|^/usr/lib/x86_64-linux-gnu/' |
	grep -zvE '^/usr/lib/[^/]*-linux-gnu$' | xargs -0 du -sk --apparent-size |
	awk '$1 < 200000' | shuf --random-source=<(yes))
if [ "$have" -lt $((want * 1024)) ]; then
	head -c $((want * 1024 * 1024 - have * 1024)) /dev/urandom >"$bench_dir/rest"
	nix-store --add "$bench_dir/rest" >>"$bench_dir/paths"
	rm "$bench_dir/rest"
fi
nix-store --dump-db >"$bench_dir/registration"
"$build/underlay" manifest create --store-dir "$NIX_STORE_DIR" --registration "$bench_dir/registration" \
	-o "$bench_dir/manifest" || exit 3

ours() { "$build/underlay" manifest check --store "$NIX_STORE_DIR" "$@" "$bench_dir/manifest"; }
reading() { find "$NIX_STORE_DIR" -type f -print0 | xargs -0 -P "$jobs" -n 100 cat; }
# The time SHA-256 alone would take over the store's NARs; measured by turns too, for the machine's speed drifts.
hashing() { bench_hash_times+="$(ratio "$bytes" "$(bench_sha256 65536 "$jobs" 1)") "; }
# Read from this machine's disk, not from what an image's or a virtual machine's host still remembers of it.
forget() { sync && echo 3 >/proc/sys/vm/drop_caches; }

bytes=$(ours --json | jq .bytes)
paths=$(sort -u "$bench_dir/paths" | wc -l)
nix='nix-store --verify --check-contents' mine="manifest check, $jobs processors" read="reading alone, $jobs processes"
bench_hash_times=
for _ in $(seq "$rounds"); do
	bench_round "$nix" nix-store --verify --check-contents
	bench_round "$mine" ours
	bench_round 'manifest check, -j 1' ours -j 1
	bench_round "$read" reading
	hashing
done
cold=$(((rounds + 1) / 2))
for _ in $(seq "$cold"); do
	forget && bench_round "$nix, cold" nix-store --verify --check-contents
	forget && bench_round "$mine, cold" ours
	forget && bench_round "$read, cold" reading
done
bench_times["SHA-256 alone, openssl speed, $jobs processes"]=$bench_hash_times
bench_names+=("SHA-256 alone, openssl speed, $jobs processes")
sha=$(bench_median "SHA-256 alone, openssl speed, $jobs processes")

floor() { awk -v a="$sha" -v b="$(bench_median "$1")" 'BEGIN { print (a > b ? a : b) }'; }
faster=$(ratio "$(bench_median "$nix")" "$(bench_median "$mine")")
over=$(ratio "$(bench_median "$mine")" "$(floor "$read")")
over_sha=$(ratio "$(bench_median "$mine")" "$sha")
faster_cold=$(ratio "$(bench_median "$nix, cold")" "$(bench_median "$mine, cold")")
over_cold=$(ratio "$(bench_median "$mine, cold")" "$(floor "$read, cold")")
echo "store of $paths paths, $((bytes / 1000000)) MB of NARs; by turns, $rounds rounds in the page cache, $cold without it"
bench_table "$bytes"
echo "in the page cache: $faster times as fast as Nix (goal: 1.8); $over times the slower of reading and" \
	"hashing (goal: 1.15), $over_sha times hashing alone"
echo "cold cache: $faster_cold times as fast as Nix; $over_cold times the slower of reading and hashing"
bench_json "$build/bench-check.json" check bytes="$bytes" paths="$paths" jobs="$jobs" \
	ratio="$faster" over_floor="$over" over_hashing="$over_sha" cold_ratio="$faster_cold" \
	cold_over_floor="$over_cold"
