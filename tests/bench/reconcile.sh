#!/usr/bin/env bash
# What reconcile costs: an upper of 1,000 paths against lowers of 10,000 to 1,000,000, attached; a pass over 10,000
# entries. On a tmpfs. Prints a table, and writes build/bench-reconcile.json.
#
#   tests/bench/reconcile.sh [ROUNDS]
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$(realpath "${BUILD:-build}")
dir=$(mktemp -d /dev/shm/reconcile.XXXXXX) || exit 3
trap 'rm -rf "$dir"' EXIT
"$build/tests/bench/bench_reconcile" "$dir" "${1:-7}" >"$build/bench-reconcile.json" || exit
jq -r '.[] | if .entries then "no-shadow pass over \(.entries) entries, lower of \(.lower): \(.no_shadow_ms) ms"
	else "lower of \(.lower) paths: another one \(.changed_ms) ms, the same again \(.unchanged_ms) ms" end' \
	"$build/bench-reconcile.json"
