#!/usr/bin/env bash
# `underlay image split`: its files, the list of sums over several versions, and that Debian's systemd-sysupdate puts
# them into a free slot of our disk as it finds them. tests/qemu/disk.sh starts such a disk.
set -u
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache sealed sysupdate; do
	. "tests/lib/$lib.sh"
done
underlay=$(realpath "${UNDERLAY:-build/underlay}")
dir=$(mktemp -d)
tap_at_exit 'chmod -R u+w "$dir"; rm -rf "$dir"'
kernel=$(cache_kernel 6.12) && identity seal && make_store && build "$dir/a.raw" 1.0 --key "$dir/seal.key" --cert "$dir/seal.crt" &&
	build "$dir/b.raw" 1.1 --key "$dir/seal.key" --cert "$dir/seal.crt" && head -c 100000 /dev/urandom >"$dir/initrd" &&
	"$underlay" uki build -o "$dir/uki" --kernel "$kernel" --initrd "$dir/initrd" >/dev/null &&
	"$underlay" disk build -o "$dir/disk" --image "$dir/a.raw" --uki "$dir/uki" >/dev/null ||
	{ echo "not ok - images, UKI and disk are made" && exit 1; }

split() { # IMAGE OPTION...
	local image=$1
	shift
	"$underlay" image split "$dir/$image" -o "$dir/files" --device /dev/loop-underlay --source /mnt "$@"
}
# The bytes of an image's partition.
bytes_of() { # IMAGE N
	local offset size
	read -r offset size < <("$underlay" image inspect --json "$dir/$1" | jq -r ".partitions[$2] | \"\(.offset) \(.size)\"")
	dd if="$dir/$1" bs=1M iflag=skip_bytes,count_bytes skip="$offset" count="$size" status=none
}
names() { (cd "$dir/files" && printf '%s\n' *.raw *.efi); }

tap "an image is split" split a.raw --uki "$dir/uki"
uuid() { "$underlay" image inspect --json "$dir/$1" | jq -r ".slots[0].$2" | tr -d -; }
file_of() { # IMAGE VERSION N
	case $3 in
	0) echo "$dir/files/demo_$2_$(uuid "$1" dataUuid).usr-x86-64.raw" ;;
	1) echo "$dir/files/demo_$2_$(uuid "$1" hashUuid).usr-x86-64-verity.raw" ;;
	2) echo "$dir"/files/demo_"$2"_*.usr-x86-64-verity-sig.raw ;;
	esac
}
for n in 0 1 2; do
	bytes_of a.raw $n >"$dir/wanted"
	tap "part $n, by its UUID" same "$(file_of a.raw 1.0 $n)" "$dir/wanted"
done
tap "the UKI" same "$dir/files/demo_1.0.efi" "$dir/uki"
tap "the sums are right" sh -c "cd '$dir/files' && sha256sum --strict --quiet -c SHA256SUMS"
tap_is "and name all files" "$(cut -c 67- "$dir/files/SHA256SUMS" | sort)" "$(names | sort)"
tap "another version comes beside it" split b.raw --uki "$dir/uki"
tap_is "eight files" "$(names | wc -l)" 8
tap "the sums are right" sh -c "cd '$dir/files' && sha256sum --strict --quiet -c SHA256SUMS"
tap_is "of all" "$(cut -c 67- "$dir/files/SHA256SUMS" | sort)" "$(names | sort)"
sort "$dir/files/SHA256SUMS" >"$dir/sums"
tap "the same again" split a.raw --uki "$dir/uki"
sort "$dir/files/SHA256SUMS" >"$dir/again"
tap "changes nothing" same "$dir/sums" "$dir/again"
tap "an image on a disk" "$underlay" image split "$dir/disk" -o "$dir/of-disk" --device /dev/x
for n in 0 1 2; do
	file=$(file_of a.raw 1.0 $n)
	tap "gives the same part $n" same "$file" "$dir/of-disk/${file##*/}"
done
tap_is "a URL is verified by its list" "$("$underlay" image split "$dir/a.raw" -o "$dir/url" --device /dev/x --source https://example.org/x >/dev/null &&
	grep -h -c 'Verify=no' "$dir"/url/sysupdate.d/*.transfer | sort -u) $(grep -l '^Type=url-file$' "$dir"/url/sysupdate.d/*.transfer | wc -l)" "0 3"
tap "an image that is not signed is told" grep -q 'the image is not signed' <(build "$dir/c.raw" 1.2 >/dev/null &&
	"$underlay" image split "$dir/c.raw" -o "$dir/c" --device /dev/x)
tap "a directory that cannot be made" fails 3 'Not a directory' "$underlay" image split "$dir/a.raw" -o "$dir/uki/x" --device /dev/x
tap "what is no image" fails 1 'it has no partition table' "$underlay" image split "$dir/uki" -o "$dir/y" --device /dev/x
"$underlay" image split "$dir/a.raw" -o "$dir/percent" --device /dev/disk/by-label/x%y --source https://example.org/a%20b >/dev/null
tap_is "a % is nothing that systemd expands" "$(grep -h '^Path=' "$dir/percent/sysupdate.d/60-data.transfer" | tr '\n' ' ')" \
	"Path=https://example.org/a%%20b Path=/dev/disk/by-label/x%%y "
split_with() { "$underlay" image split "$dir/a.raw" -o "$dir/y" --device "$1" --source "$2"; }
tap "a device of two lines" fails 2 'is not an absolute path' split_with $'/dev/x\nInstancesMax=1' /mnt
tap "a device by its bare name" fails 2 'is not an absolute path' split_with vda /mnt
tap "a source that continues the line" fails 2 'is not a URL or an absolute path' split_with /dev/x '/mnt\'
tap "a UKI that is none" fails 1 'it does not start as a PE file does' "$underlay" image split "$dir/a.raw" -o "$dir/y" --device /dev/x --uki "$dir/seal.crt"
build "$dir/arm.raw" 1.0 --machine aarch64 >/dev/null
tap "a UKI for another machine" fails 1 'it is for x86-64, the image .* is for arm64' \
	"$underlay" image split "$dir/arm.raw" -o "$dir/y" --device /dev/x --uki "$dir/uki"
tap_none "nothing was written then" find "$dir" -name y
tap "two at once" fails 3 'another process writes into it. Wait for the other one' \
	flock "$dir/files" "$underlay" image split "$dir/a.raw" -o "$dir/files" --device /dev/x

# ---- systemd-sysupdate ----

sysupdate "$dir/disk" "$dir/files" "$dir/esp" list >"$dir/listed" 2>"$dir/err"
tap "sysupdate lists both versions" grep -q '1\.1 .*candidate' "$dir/listed"
sysupdate "$dir/disk" "$dir/files" "$dir/esp" update >"$dir/out" 2>&1
report $? "sysupdate installs the newer one"
"$underlay" disk show "$dir/disk" >"$dir/shown"
tap "it lies in the slot that was free" grep -q '^ *5  slot .* demo 1.1, .*; tried first' "$dir/shown"
tap "the other slot is as it was" grep -q '^ *2  slot .* demo 1.0, ' "$dir/shown"
tap "both verify" "$underlay" image verify "$dir/disk" --cert "$dir/seal.crt"
tap_is "the UKI is counted" "$(ls "$dir/esp/EFI/Linux")" demo_1.1+3-0.efi

# ---- and the other way: sysupdate finds what `underlay update` wrote ----

build "$dir/e.raw" 1.4 --key "$dir/seal.key" --cert "$dir/seal.crt" && build "$dir/f.raw" 1.5 --key "$dir/seal.key" --cert "$dir/seal.crt" ||
	report 1 "further images are made"
tap "1.4 by ourselves" "$underlay" update "$dir/e.raw" --disk "$dir/disk" --cert "$dir/seal.crt" --uki "$dir/uki"
"$underlay" disk show "$dir/disk" >"$dir/shown"
tap "it takes the slot of 1.0" grep -q '^ *2  slot .* demo 1.4, .*; tried first' "$dir/shown"
# Here sysupdate's EFI system partition is a directory.
cp "$dir/uki" "$dir/esp/EFI/Linux/demo_1.4+3.efi"
tap "1.4 and 1.5 are offered" eval 'split e.raw --uki "$dir/uki" && split f.raw --uki "$dir/uki"'
sysupdate "$dir/disk" "$dir/files" "$dir/esp" list >"$dir/listed" 2>"$dir/err"
tap "sysupdate knows that 1.4 is there" grep -q '1\.4 .*\(current\|installed\)' "$dir/listed"
tap "and 1.5 is not" grep -q '1\.5 .*candidate' "$dir/listed"
sysupdate "$dir/disk" "$dir/files" "$dir/esp" update >"$dir/out" 2>&1
report $? "sysupdate installs 1.5"
"$underlay" disk show "$dir/disk" >"$dir/shown"
tap "in the place of 1.1, the oldest" grep -q '^ *5  slot .* demo 1.5, .*; tried first' "$dir/shown"
tap "ours stays" grep -q '^ *2  slot .* demo 1.4, ' "$dir/shown"
tap "both verify, as ever" "$underlay" image verify "$dir/disk" --cert "$dir/seal.crt"
tap_end
