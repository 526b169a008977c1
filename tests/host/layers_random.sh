#!/usr/bin/env bash
# Random uppers under a real overlay: kept layers and sessions with every type of entry, overlayfs' own attributes,
# origins of sealed files, links, names that resemble sealed ones; each booted twice, its own names changed in
# between. Nothing sealed may look different. LAYERS_TREES: how many (`make check-layers`: thousands); LAYERS_SEED:
# the first.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/namespace.sh
. tests/lib/tap.sh
. tests/lib/layers.sh

trees=${LAYERS_TREES:-120}
seed=${LAYERS_SEED:-1}

# trees NAME LOWER FS N [--no-links]: N twelfths of all trees, and a few without the names as a control.
trees() {
	local n=$((trees * $4 / 12)) out bad
	layers_sealed "$1" "$2" "${@:5}" && layers_upper "$1.upper" "$3" 600 || { echo "not ok - $1: made" && exit 1; }
	out=$("$attack" random "$sealed" "$names" "${links:--}" "$upper" "$view" "$uuid" "$seed" "$n")
	tap_is "$1: $n uppers, each booted twice: nothing sealed changed" "$(tail -n 1 <<<"$out")" "0 changed something sealed"
	grep '^#' <<<"$out"
	seed=$((seed + n))
	out=$("$attack" random "$sealed" "$names" "${links:--}" "$upper" "$view" "$uuid" "$seed" 10 unguarded | tail -n 1)
	bad=${out%% *}
	tap "$1: without the names most do ($bad of 10)" test "$bad" -gt 4
	umount "$upper"
}

trees erofs-ext4 erofs ext4 5
trees erofs-without-links erofs ext4 2 --no-links
trees squashfs-ext4 squashfs ext4 2
grep -qw xfs /proc/filesystems && trees erofs-xfs erofs xfs 2
grep -qw btrfs /proc/filesystems && trees squashfs-btrfs squashfs btrfs 1
tap_end
