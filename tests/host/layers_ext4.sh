#!/usr/bin/env bash
# Crafted ext4 uppers: a kept directory whose index hides the name of a sealed path from readdir, and one that begins
# to show it when the directory grows, which a join does. What is sealed stays as it is; without the names it would
# not.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/namespace.sh
. tests/lib/tap.sh
. tests/lib/layers.sh

layers_sealed lower erofs || { echo "not ok - the sealed image is made" && exit 1; }
victim=$(printf %031d 0)d-merge

# crafted KIND: an upper whose kept layer has an index of that kind, with the attack on $victim.
crafted() {
	layers_upper "$1" ext4 64 -b 1024 -O ^metadata_csum -E hash_seed=$uuid && mkdir -p "$upper"/kept/"$victim"/lib || return
	echo EVIL >"$upper/kept/$victim/ld.so.preload" && echo EVIL >"$upper/kept/$victim/lib/evil.so"
	for i in $(seq 300); do : >"$upper/kept/$(printf '%032d' "$i")-fill"; done
	# A directory is listed in the order of its hashes: the first names stay.
	ls -U "$upper/kept" | grep fill | tail -n +4 | sed "s|^|$upper/kept/|" | xargs rm && umount "$upper" && python3 tests/tools/craft_ext4_index.py "$upper_image" /kept "$victim" "$1" &&
		mount -o loop "$upper_image" "$upper"
}

# evil: a name of the upper's is found in the sealed directory.
evil() {
	[ -e "$view/$victim/ld.so.preload" ] || [ -e "$view/$victim/lib/evil.so" ]
}

innocent() {
	if evil; then return 1; fi
	"$attack" compare "$sealed" "$view"
}

# The next boot: nothing that was looked up is remembered.
again() {
	umount "$upper" && mount -o loop "$upper_image" "$upper"
}

# A session with so many new names that the kept directory grows by several blocks.
grow() {
	local i up
	up=$upper/sessions/$("$layers" session "$upper" 1775)/up || return
	for i in $(seq 300); do mkdir "$up/$(md5sum <<<"$i" | cut -c 1-32)-new"; done
}

tap "hide: made" crafted hide
tap "hide: not listed" bash -c 'ls -A "$1" | lacks -x "$2"' _ "$upper/kept" "$victim"
tap "    but found" test -e "$upper/kept/$victim/ld.so.preload"
layers_boot >/dev/null
tap "hide: nothing sealed differs" innocent
layers_down
again
grow
layers_boot >/dev/null
tap "    nor when 300 names were joined" innocent
layers_down
layers_boot unguarded >/dev/null
tap "hide: without the names it would" evil
layers_down
umount "$upper"

tap "bomb: made" crafted bomb
tap "bomb: neither listed nor found" bash -c 'ls -A "$1" | lacks -x "$2" && [ ! -e "$1/$2" ]' _ "$upper/kept" "$victim"
layers_boot unguarded >/dev/null
tap "    so that even without the names nothing differs" innocent
layers_down
layers_boot >/dev/null
tap "bomb: nothing sealed differs" innocent
layers_down
again
grow
tap "bomb: 300 names are joined" layers_join
layers_boot >/dev/null
tap "    nothing sealed differs" innocent
layers_down
again
layers_boot unguarded >/dev/null
tap "bomb: without the names it would now" evil
layers_down
tap_end
