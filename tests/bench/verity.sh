#!/usr/bin/env bash
# The hash tree: ours against `veritysetup format`, by turns, on one file in the page cache.
#
#   tests/bench/verity.sh [MEGABYTES] [ROUNDS]
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
tool=$build/tests/tools/hash_tool
size=${1:-1024} rounds=${2:-5} jobs=$(nproc)
# Not below build/: a store holds names that make would take for its own (*.d).
bench_dir=$(mktemp -d "${TMPDIR:-/var/tmp}/underlay-bench.XXXXXX")
trap 'rm -rf "$bench_dir"' EXIT
. tests/bench/lib.sh
salt=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
uuid=12345678-9abc-def0-1234-56789abcdef0
data=$bench_dir/data

# Random data once, then the page cache holds it.
head -c "${size}M" /dev/urandom >"$data"
bytes=$(stat -c %s "$data")

theirs() {
	rm -f "$bench_dir/theirs"
	veritysetup format "$data" "$bench_dir/theirs" --salt "$salt" --uuid "$uuid"
}
ours() { # THREADS
	rm -f "$bench_dir/ours"
	"$tool" tree "$data" "$bench_dir/ours" sha256 4096 4096 "$salt" "${uuid//-/}" "$1"
}
check() {
	"$tool" check "$data" "$bench_dir/ours" sha256 4096 4096 "$salt" "$root" "$jobs"
}

root=$(ours "$jobs")
for _ in $(seq "$rounds"); do
	bench_round 'veritysetup format' theirs
	bench_round "ours, $jobs threads" ours "$jobs"
	bench_round 'ours, 1 thread' ours 1
	bench_round 'veritysetup verify' veritysetup verify "$data" "$bench_dir/ours" "$root"
	bench_round "our check, $jobs threads" check
	bench_round "reading alone, $jobs threads" "$tool" read "$data" "$jobs"
done
cmp "$bench_dir/ours" "$bench_dir/theirs" || exit 1
speed=$(bench_sha256 4096 "$jobs")
format=$(ratio "$(bench_median 'veritysetup format')" "$(bench_median "ours, $jobs threads")")
verify=$(ratio "$(bench_median 'veritysetup verify')" "$(bench_median "our check, $jobs threads")")
echo "hash tree of $size MiB, $rounds rounds by turns, the same bytes from both"
bench_table "$bytes"
printf '%-44s %10s %10.0f\n' "openssl speed, 4096 bytes, $jobs processes" '' "$(ratio "$speed" 1000000)"
echo "format: $format times as fast as veritysetup (goal: 2); check: $verify times"
bench_json "$build/bench-verity.json" verity bytes="$bytes" jobs="$jobs" openssl_bytes_per_second="$speed" \
	format_ratio="$format" verify_ratio="$verify"
