#!/usr/bin/env bash
# The attack on the disk against the kernel's own dm-verity (tests/tamper/guest.c): one guest walks through a hundred
# tampered images. (Whole boots of such images: refusals.sh.)
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache appliance qemu image; do
	. "tests/lib/$lib.sh"
done
. tests/tamper/images.sh
work=$(mktemp -d "$qemu_dir.XXXXXX")
tap_at_exit 'rm -rf "$work"'
kernel=6.12

prepare() {
	# In the place of underlay-init, with the programs that lie beside it.
	mkdir "$work/init" && cp "${underlay%/*}"/tests/tamper/guest "${underlay%/*}"/underlay-{start,shutdown} "$work/init/" &&
		tamper_images "$work" && printf '[modules]\nload = loop dm_mod dm_verity\n' >"$work/config" &&
		"$underlay" initrd build -o "$work/initrd" --compress zstd,3 --init "$work/init/guest" \
			--config "$work/config" --cert "$work/signer.crt" --module loop \
			--modules-dir "$(cache_modules $kernel)"
}

tap "two signed images and the guest that opens them" prepare
qemu_boot tamper "$(cache_kernel $kernel)" "$work/initrd" "loop.max_loop=1 quiet" 300 \
	"$work/image.img" "$work/other.img"
results=$qemu_dir/tamper.results
tr -d '\r' <"$results" | sed 's/^/# /'

walked() {
	tr -d '\r' <"$results" | grep -qx DONE || { qemu_show tamper && return 1; }
	lacks -E 'BAD:|FAILED' "$results"
}

# Sums of the columns: cases, refused, read errors, harmless, bad.
sums() {
	tr -d '\r' <"$results" | sed -n 's/^.\{33\}//p' |
		awk '/refused/ { r += $1; e += $3; h += $5; b += $7 } END { print r + e + h, (r > 20), (e > 5), (h > 5), b }'
}

tap "dm-verity serves no byte that was not signed, and what the host's judge foretells" walked
tap_is "a hundred cases, each outcome among them, none bad" "$(sums)" "105 1 1 1 0"
tap_end
