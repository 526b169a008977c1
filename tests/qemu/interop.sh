#!/usr/bin/env bash
# Images that others made, and places where images are not usually: systemd-repart's images in three layouts, our image
# as a file on a vfat, an ext4 and an ISO 9660, and lowers of ext4 and squashfs. Each boots, and Nix judges. On Linux
# 6.12, or $kernel.
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache appliance qemu image; do
	. "tests/lib/$lib.sh"
done
work=$qemu_dir/interop
rm -rf "$work"
mkdir -p "$work"
image_keys && image=$(image_appliance 2.26) && store=$(appliance_store 2.26) && trixie=$(cache_tree trixie) ||
	{ echo "not ok - the image is made" && exit 1; }
system=$(cat "$store/system")
paths=$(find "$store/nix/store" -mindepth 1 -maxdepth 1 ! -name .links | wc -l)
cp "$keys_dir"/signer.{key,crt} "$work/"

# ---- images of systemd-repart --------------------------------------------------------------------

# repart NAME DESIGNATOR COMPRESSION PLACE [SIGNED [REGISTRATION [LEVEL]]]: the store at PLACE of a DESIGNATOR
# partition, a hash partition, and with SIGNED=yes a signature; the registration as that file. Prints the root hash.
repart() {
	local name=$1 designator=$2 compression=$3 place=$4 signed=${5:-no} registration=${6:-} defs=$work/$1.d
	mkdir -p "$defs"
	# /nix/store's .links is Nix's own.
	cat >"$defs/10-data.conf" <<-END
		[Partition]
		Type=$designator
		Label=store
		Format=erofs
		Compression=$compression
		${7:+CompressionLevel=$7}
		CopyFiles=/srv/nix/store:$place
		ExcludeFiles=/srv/nix/store/.links
		${registration:+CopyFiles=/srv/registration:$registration}
		Verity=data
		VerityMatchKey=store
		Minimize=best
	END
	printf '[Partition]\nType=%s-verity\nLabel=store\nVerity=hash\nVerityMatchKey=store\nMinimize=best\n' \
		"$designator" >"$defs/20-hash.conf"
	[ "$signed" = no ] || printf '[Partition]\nType=%s-verity-sig\nLabel=store\nVerity=signature\nVerityMatchKey=store\n' \
		"$designator" >"$defs/30-signature.conf"
	in_tree -b "$PWD/$work:/mnt" -b "$store:/srv" "$trixie" systemd-repart --definitions="/mnt/$name.d" --empty=create \
		--size=auto --offline=yes --dry-run=no --seed=12345678-9abc-def0-1234-56789abcdef0 --json=short \
		--private-key=/mnt/signer.key --certificate=/mnt/signer.crt "/mnt/$name.img" \
		2>"$work/$name.log" >"$work/$name.json" || { cat "$work/$name.log" >&2 && return 1; }
	jq -r '[.[].roothash // empty] | first' "$work/$name.json"
}

# The files of our image on an ext4, by the tools of others, with dm-verity's superblock and without a signature.
ext4_image() {
	local start size blocks
	read -r start size <<<"$(image_partition "$image" 1)"
	dd if="$image" of="$work/erofs" bs=4096 skip=$((start / 4096)) count=$((size / 4096)) status=none
	mkdir -p "$work/tree"
	unshare --mount --propagation private bash -euc '
		mount -t erofs -o ro,loop "$1/erofs" "$1/tree"
		mkfs.ext4 -q -m 0 -O ^has_journal -b 4096 -d "$1/tree" "$1/ext4" "$(($(du -sm --apparent-size "$1/tree" | cut -f 1) * 11 / 10 + 32))M"
	' _ "$work" || return
	veritysetup format "$work/ext4" "$work/ext4.tree" | sed -n 's/^Root hash:[[:space:]]*//p' >"$work/ext4.hash"
	size=$(stat -c %s "$work/ext4") blocks=$(stat -c %s "$work/ext4.tree")
	truncate -s $((size + blocks + 8 * 1048576)) "$work/ext4.img"
	sfdisk -q -X gpt "$work/ext4.img" <<-END
		start=2048, size=$((size / 512)), type=8484680C-9521-48C6-9C11-B0720656F69E, name=appliance_1.0
		size=$(((blocks + 511) / 512)), type=77FF5F63-E7B6-4633-ACF4-1565B864C0E6, name=appliance_1.0
	END
	read -r start _ <<<"$(image_partition "$work/ext4.img" 1)"
	dd if="$work/ext4" of="$work/ext4.img" bs=1M seek="$start" oflag=seek_bytes conv=notrunc status=none
	read -r start _ <<<"$(image_partition "$work/ext4.img" 2)"
	dd if="$work/ext4.tree" of="$work/ext4.img" bs=1M seek="$start" oflag=seek_bytes conv=notrunc status=none
}

# ---- booting -------------------------------------------------------------------------------------

# boots NAME DISK CMDLINE [CONFIG-LINE...]: to the scenario's end. Its state is then $qemu_dir/NAME.state.
boots() {
	local name=$1 disk=$2 cmdline=$3 initrd
	shift 3
	image_config "$work/$name.conf" "$@"
	initrd=$(image_initrd "${kernel:-6.12}" "$work/$name.conf") || { tap "$name: its initramfs is made" false && return; }
	qemu_boot "interop-$name" "$(cache_kernel "${kernel:-6.12}")" "$initrd" "appliance.scenario=interop $cmdline" 300 "$disk"
	name=interop-$name
	guest_found "$name"
	guest_block "$name" state >"$qemu_dir/$name.state"
	tap_is "$name: the scenario ran to its end" "$(tail -n 1 "$qemu_dir/$name.results")" "end interop 0"
	tap_is "$name: the whole store is in the overlay" "$(guest_says "$name" store-paths)" $((paths + ${added:-0}))
	[ "$(cat "$qemu_dir/$name.end")" = poweroff ] || qemu_show "$name"
}

# foreign NAME LOWERDIR DATABASE SIGNER ARGUMENT...
foreign() {
	local name=$1 lowerdir=$2 mode=$3 signed=$4 wanted
	shift 4
	boots "$name" "$@"
	# What others make has no directory of hard links, so the boot adds its layer.
	tap_is "$name: the overlay's lower" "$(guest_says "interop-$name" lowerdir)" "$lowerdir:/nix/.names/0/links"
	wanted=$([ "$mode" = none ] || echo "$paths")
	tap_is "$name: the database, the paths, the signer" \
		"$(jq -r '[.database.mode, .lowers[0].paths // "", .lowers[0].signer.subject // ""] | join("|")' "$qemu_dir/interop-$name.state")" \
		"$mode|$wanted|$signed"
}

# file NAME FILESYSTEM ARGUMENT...: our image, as a file. It has one path more: the collector's root.
file() {
	local name=$1 type=$2 added=1
	shift 2
	boots "$name" "$@"
	tap_is "$name: the filesystem stays, read-only" "$(guest_says "interop-$name" host)" "$type ro,nosuid,nodev,noexec"
	tap_is "$name: the file" "$(jq -r '.lowers[0] | .disk + " " + .version' "$qemu_dir/interop-$name.state")" \
		"/run/underlay/host/images/appliance_1.0.img 1.0"
}

# filesystem NAME TYPE ARGUMENT...
filesystem() {
	local name=$1 type=$2 added=1
	shift 2
	boots "$name" "$@"
	tap_is "$name: the lower's filesystem" "$(jq -r '.lowers[0].filesystem' "$qemu_dir/interop-$name.state")" "$type"
}

# ---- what is booted ------------------------------------------------------------------------------

path_line=("[system]" "path = $system")
signer="CN=signer,O=Underlay's tests"

repart root-of-usr usr zstd / yes /.nix-path-registration 1 >"$work/root-of-usr.hash" &
repart usr-nix-store root lz4 /usr/nix/store yes /usr/nix/store/.nix-path-registration >"$work/usr-nix-store.hash" &
wait
repart nix-store usr lzma /nix/store no "" 0 >"$work/nix-store.hash" &
mkdir -p "$work/files/images"
cp --reflink=auto "$image" "$work/files/images/appliance_1.0.img"
echo "no image" >"$work/files/images/appliance_0.9.img"
{
	mkfs.vfat -C -F 32 -n DATA "$work/fat" $((160 * 1024)) && mcopy -s -i "$work/fat" "$work/files/images" :: &&
		truncate -s 164M "$work/esp.img" &&
		echo 'start=2048, size=327680, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=esp' | sfdisk -X gpt "$work/esp.img" &&
		dd if="$work/fat" of="$work/esp.img" bs=1M seek=1 conv=notrunc,sparse
	mkfs.ext4 -q -U 11111111-2222-3333-4444-555555555555 -d "$work/files" "$work/data.img" 200M
	xorriso -as mkisofs -quiet -R -V CDROM -o "$work/cd.img" "$work/files"
} >"$work/mkfs.log" 2>&1 || cat "$work/mkfs.log"
ext4_image >"$work/ext4.log" 2>&1 || cat "$work/ext4.log"
for compression in zstd xz; do
	image_build 2.26 "$work/squashfs-$compression.img" --format squashfs --compression $compression \
		>"$work/squashfs.log" 2>&1 || cat "$work/squashfs.log"
	read -r start _ <<<"$(image_partition "$work/squashfs-$compression.img" 1)"
	# The superblock's number of the compression.
	tap_is "squashfs-$compression: its compression" \
		"$(od -An -tu2 -j $((start + 20)) -N 2 "$work/squashfs-$compression.img" | tr -d ' ')" \
		$([ $compression = xz ] && echo 4 || echo 6)
done
wait

optional=("[verify]" "descriptor = optional")
tap_case foreign root-of-usr /nix/.ro/. rebuild "$signer" "$work/root-of-usr.img" "usrhash=$(cat "$work/root-of-usr.hash")" \
	"${optional[@]}" "${path_line[@]}"
tap_case foreign usr-nix-store /nix/.ro/usr/nix/store rebuild "$signer" "$work/usr-nix-store.img" \
	"roothash=$(cat "$work/usr-nix-store.hash")" "${optional[@]}" "${path_line[@]}" "[image]" "designator = root"
# Nobody signed it, and it registers nothing: the policy names its root hash and goes without a database.
tap_case foreign nix-store /nix/.ro/nix/store none "" "$work/nix-store.img" "" "[verify]" "mode = pinned" \
	"root-hash = $(cat "$work/nix-store.hash")" "${path_line[@]}" "[lower]" "manifest = optional"
tap_case file vfat vfat "$work/esp.img" "" "[image]" "file = /images/appliance_*.img" "file-device = PARTLABEL=esp" \
	"[database]" "mode = attach"
tap_case file ext4-data ext4 "$work/data.img" "" "[image]" "file = /images/appliance_*.img" \
	"file-device = UUID=11111111-2222-3333-4444-555555555555"
tap_case file iso iso9660 "$work/cd.img" "" "[image]" "file = /images/appliance_1.0.img" "file-device = LABEL=CDROM"
tap_case filesystem ext4 ext4 "$work/ext4.img" "" "[lower]" "filesystems = ext4" "[verify]" "mode = pinned" \
	"root-hash = $(cat "$work/ext4.hash")"
tap_case filesystem squashfs-zstd squashfs "$work/squashfs-zstd.img" ""
tap_case filesystem squashfs-xz squashfs "$work/squashfs-xz.img" ""
kernel=6.1 tap_case filesystem squashfs-xz-6.1 squashfs "$work/squashfs-xz.img" ""
tap_cases
tap_end
