#!/usr/bin/env bash
# What reconcile costs: kept layers of 0 to 10,000 paths under lowers of 10,000 to 1,000,000, attached; and, in a
# column of its own, what the check of an ext4 with such a kept layer costs before it (e2fsck -f -p; each path has
# four files). All in memory. Prints a table, and writes build/bench-reconcile.json.
#
#   tests/bench/reconcile.sh [ROUNDS]
set -u
cd "$(dirname "$0")/../.." || exit 1
PATH=$PATH:/usr/sbin:/sbin
build=$(realpath "${BUILD:-build}")
dir=$(mktemp -d /dev/shm/reconcile.XXXXXX) || exit 3
device=
trap '[ -z "$device" ] || losetup -d "$device"; rm -rf "$dir"' EXIT
rounds=${1:-7}

# fsck KEPT: the median in ms.
fsck() {
	local tree=$dir/tree n
	mkdir -p "$tree/kept" "$tree/var/nix/db"
	seq -f "$tree/kept/%032.0f-path" "$1" | xargs -r mkdir
	for n in bin lib; do
		seq -f "$tree/kept/%032.0f-path/$n" "$1" | xargs -r touch
		seq -f "$tree/kept/%032.0f-path/$n.d" "$1" | xargs -r mkdir
	done
	truncate -s 1G "$dir/disk"
	mkfs.ext4 -q -d "$tree" "$dir/disk" || return
	rm -rf "$tree"
	device=$(losetup --find --show "$dir/disk") || return
	for ((n = 0; n < rounds; n++)); do
		local start=$EPOCHREALTIME
		e2fsck -f -p "$device" >/dev/null || return
		echo $(((${EPOCHREALTIME/./} - ${start/./}) / 10))
	done | sort -n | sed -n "$((rounds / 2 + 1))p" | sed -E 's/^(.)$/0\1/; s/^(..)$/0\1/; s/(..)$/.\1/'
	losetup -d "$device"
	device=
	rm "$dir/disk"
}

"$build/tests/bench/bench_reconcile" "$dir" "$rounds" >"$dir/times.json" || exit
for kept in 0 1000 10000; do
	time=$(fsck $kept) && [ -n "$time" ] || exit 3
	jq --argjson kept $kept --argjson ms "$time" 'map(if .kept == $kept then .fsck_ms = $ms else . end)' "$dir/times.json" >"$dir/new.json" &&
		mv "$dir/new.json" "$dir/times.json" || exit 3
done
cp "$dir/times.json" "$build/bench-reconcile.json"
printf '%10s %8s %12s %12s %12s %12s %12s %12s %12s\n' lower kept another unchanged written collected \
	"Nix's gc" "after it" "e2fsck -f -p"
jq -r '.[] | [.lower, .kept, .another_ms, .unchanged_ms, .written_ms, .collected_ms, .copied_ms, .later_ms, .fsck_ms] | @tsv' "$build/bench-reconcile.json" |
	while read -r line; do
		# shellcheck disable=SC2086 # columns
		printf '%10s %8s %9s ms %9s ms %9s ms %9s ms %9s ms %9s ms %9s ms\n' $line
	done
