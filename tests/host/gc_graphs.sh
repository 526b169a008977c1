#!/usr/bin/env bash
# What is garbage: `underlay gc` against the `nix-store --gc --print-dead` of this machine's Nix, on GC_GRAPHS random
# stores (from GC_SEED on), in both modes of the database; see tests/tools/gc_graphs.py.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
count=${GC_GRAPHS:-200} seed=${GC_SEED:-0} half=$((${GC_GRAPHS:-200} / 2))
work=$(mktemp -d /dev/shm/gc.XXXXXX)
tap_at_exit 'rm -rf "$work"'

# Processes of their own: what others of this machine run is none of these stores' business.
graphs() {
	mkdir "$work/$1" && unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
		python3 tests/tools/gc_graphs.py build/underlay "$work/$1" "$2" "$3" >"$work/$1.out" 2>&1
	report $? "$3 random stores: $(tail -n 1 "$work/$1.out")" "$work/$1.out"
}
tap_case graphs first "$seed" "$half"
tap_case graphs second $((seed + half)) $((count - half))
tap_cases
tap_end
