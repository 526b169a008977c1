#!/usr/bin/env bash
# What joining a session of 1,000 new paths costs, with 0 to 10,000 kept ones; on ext4 in memory. Prints a table, and
# writes build/bench-join.json. Needs root.
#
#   tests/bench/join.sh [ROUNDS]
set -u
cd "$(dirname "$0")/../.." || exit 3
. tests/lib/namespace.sh
build=$(realpath "${BUILD:-build}")
dir=$(mktemp -d /dev/shm/join.XXXXXX) || exit 3
trap 'umount "$dir/upper"; rm -rf "$dir"' EXIT
mkdir "$dir/upper"
truncate -s 1G "$dir/image"
mkfs.ext4 -q "$dir/image" && mount -o loop "$dir/image" "$dir/upper" || exit 3
"$build/tests/bench/bench_join" "$dir/upper" "${1:-5}" >"$build/bench-join.json" || exit
jq -r '.[] | "\(.new) new paths into \(.kept): \(.join_ms) ms (\(.join_cpu_ms) ms of the processor); nothing to join \(.nothing_ms) ms; " +
	"mv \(.mv_ms) ms (\(.mv_ms / .join_ms * 10 | round / 10) times that), cp -al and rm \(.cp_al_ms) ms (\(.cp_al_ms / .join_ms * 10 | round / 10))"' \
	"$build/bench-join.json"
