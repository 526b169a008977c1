#!/usr/bin/env bash
# Checking a store: `underlay manifest check` against `nix-store --verify --check-contents`, by turns, on a
# store that real Nix makes of this machine's own files; beside them the two floors, reading and hashing.
#
#   tests/bench/check.sh [MEGABYTES] [ROUNDS]
set -u
cd "$(dirname "$0")/../.." || exit 3
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

ours() { "$build/underlay" manifest check --store "$NIX_STORE_DIR" -j "$1" "$bench_dir/manifest"; }
reading() { find "$NIX_STORE_DIR" -type f -print0 | xargs -0 -P "$jobs" -n 100 cat; }

bytes=$("$build/underlay" manifest check --json --store "$NIX_STORE_DIR" "$bench_dir/manifest" | jq .bytes)
paths=$(sort -u "$bench_dir/paths" | wc -l)
for _ in $(seq "$rounds"); do
	bench_round 'nix-store --verify --check-contents' nix-store --verify --check-contents
	bench_round "ours, -j $jobs" ours "$jobs"
	bench_round 'ours, -j 1' ours 1
	bench_round "reading alone, $jobs processes" reading
done
speed=$(bench_sha256 65536 "$jobs")
hashing=$(ratio "$bytes" "$speed")
mine=$(bench_median "ours, -j $jobs")
read_time=$(bench_median "reading alone, $jobs processes")
floor=$(awk -v a="$hashing" -v b="$read_time" 'BEGIN { print (a > b ? a : b) }')
faster=$(ratio "$(bench_median 'nix-store --verify --check-contents')" "$mine")
over=$(ratio "$mine" "$floor")
echo "store of $paths paths, $((bytes / 1000000)) MB of NARs, $rounds rounds by turns"
bench_table "$bytes"
printf '%-44s %10s %10.0f\n' "openssl speed, SHA-256, $jobs processes" "$hashing" "$(ratio "$speed" 1000000)"
echo "$faster times as fast as Nix (goal: 1.8); $over times the slower of reading and hashing (goal: 1.15)"
bench_json "$build/bench-check.json" check bytes="$bytes" paths="$paths" jobs="$jobs" \
	openssl_bytes_per_second="$speed" hashing_seconds="$hashing" ratio="$faster" over_floor="$over"
