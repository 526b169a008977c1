#!/usr/bin/env bash
# What somebody wrote on the upper while the machine was off, under real overlays: 27 kinds of attack, each on a
# directory, a file and a symlink of the sealed store. Each sealed path's type, bytes, owner, mode and listing against
# the sealed filesystem itself, and no name of the attacker's inside of one.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/namespace.sh
. tests/lib/tap.sh
. tests/lib/layers.sh

# same [any-mode]: the view serves what is sealed. With any-mode sealed entries were copied up since.
same() {
	"$attack" compare "$sealed" "$view" "$upper/kept" "$@"
}

attacked() {
	layers_upper "$1" "$2" "$3" && mkdir "$upper/kept" && "$attack" kinds "$upper/kept" "$sealed" "$uuid"
}

# guarded NAME: the upper, booted twice.
guarded() {
	tap "$1: booted" layers_boot
	tap "    the attacker's names are looked at" "$attack" touch "$upper/kept" "$view"
	tap "    and all that is sealed is as it was" same
	tap "    sealed entries are copied up, the attacker's changed, 200 names come and go" "$attack" disturb "$view" "$sealed" 200
	tap "    the same" same any-mode
	tap "    caches are dropped" bash -c 'sync && echo 3 >/proc/sys/vm/drop_caches'
	tap "    the same" same any-mode
	tap "    the names are looked at again" "$attack" touch "$upper/kept" "$view"
	tap "    the same" same any-mode
	layers_down
	tap "$1: booted again" layers_boot
	tap "    the names are looked at" "$attack" touch "$upper/kept" "$view"
	tap "    all as it was, copied-up owners and modes too" same
	tap "    what was made in the first boot is there" test -f "$view/$(printf %032d 0)-new/file"
	layers_down
}

# unguarded NAME: the same upper without the names must be broken, or nothing above has said anything.
unguarded() {
	local seen
	layers_boot unguarded >/dev/null
	seen=$("$attack" compare "$sealed" "$view" "$upper/kept" | tail -n 1)
	tap "$1: without the names more than 100 paths differ ($seen)" test "${seen%% *}" -gt 100
	layers_down
}

for lower in erofs squashfs; do
	for fs in ext4 xfs btrfs; do
		grep -qw "$fs" /proc/filesystems || modprobe "$fs" 2>/dev/null || continue
		layers_sealed "$lower-$fs" $lower || { echo "not ok - $lower is made" && tail -n 5 "$tmp/log" && exit 1; }
		attacked "upper-$lower-$fs" $fs 400 || { echo "not ok - $lower, $fs: the attack is written" && exit 1; }
		guarded "$lower, $fs"
		unguarded "$lower, $fs"
	done
done

# Another maker's image: no `.links` in it, and an upper that has one.
layers_sealed foreign erofs --no-links
attacked upper-foreign ext4 100
tap "without .links: the upper has one" test -d "$upper/kept/.links/lib"
guarded "without .links"
layers_boot >/dev/null
tap "without .links: an empty directory is there" is_empty_dir "$view/.links"
tap "    that can be written" bash -c 'echo x >"$1/.links/x" && rm "$1/.links/x"' _ "$view"
layers_down
# Without that layer the guard is seen, and Nix fails; nobody's directory is.
links=
layers_boot >/dev/null
tap "    where its layer is forgotten, no directory of the upper's" bash -c '[ -f "$1/.links" ]' _ "$view"
layers_down

# An image that was made elsewhere gets its names in a tmpfs.
layers_sealed late erofs
mkdir "$tmp/late.names"
mount -t tmpfs tmpfs "$tmp/late.names"
tap "names in a tmpfs: made from the sealed directory" "$layers" names "$sealed" "$tmp/late.names"
tap "    as those of the image are" bash -c '"$1" check "$2" "$3" && equal "$(ls -A "$3")" "$(ls -A "$4")"' _ "$layers" "$sealed" "$tmp/late.names" "$names"
names=$tmp/late.names
attacked upper-late ext4 100
guarded "names in a tmpfs"
tap_end
