#!/usr/bin/env bash
# What must not boot, and what must all the same. Each refusal is booted, and must end in its own code, its own
# sentence, and the action that the policy demands. `make test` boots some of each kind: what is refused at all, the
# unit and host tests show as well.
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache appliance qemu image verdict; do
	. "tests/lib/$lib.sh"
done
work=$qemu_dir/refusals
mkdir -p "$work"
kernel=6.12

# flip FILE OFFSET: change one byte.
flip() {
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	printf "\\$(printf %o $((byte ^ 0xff)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# A copy of the good image, to be spoilt.
copy_image() {
	cp --reflink=auto --sparse=always "$image" "$work/$1.img" && echo "$work/$1.img"
}

spoil_data() {
	read -r start _ <<<"$(image_partition "$1" 1)"
	flip "$1" $((start + 100))
}

# Past the superblock's block: the tree's root.
spoil_tree() {
	read -r start _ <<<"$(image_partition "$1" 2)"
	flip "$1" $((start + 4096 + 100))
}

# The salt, which dm-verity would take from here if it believed it.
spoil_superblock() {
	read -r start _ <<<"$(image_partition "$1" 2)"
	flip "$1" $((start + 88))
}

# The first block of a file of the lower.
spoil_file() {
	local start size offset
	read -r start size <<<"$(image_partition "$1" 1)"
	dd if="$1" of="$1.data" bs=4096 skip=$((start / 4096)) count=$((size / 4096)) status=none
	offset=$(dump.erofs -e --path="$2" "$1.data" | sed -n 's/^ *0: .*: *\([0-9]*\)\.\..*/\1/p')
	rm "$1.data"
	[ -n "$offset" ] || { echo "not ok - $2 is found in the image" && exit 1; }
	flip "$1" $((start + offset))
}

empty_signature() {
	read -r start size <<<"$(image_partition "$1" 3)"
	dd if=/dev/zero of="$1" bs=512 seek=$((start / 512)) count=$((size / 512)) conv=notrunc status=none
}

signature_json() {
	read -r start size <<<"$(image_partition "$1" 3)"
	dd if="$1" bs=512 skip=$((start / 512)) count=$((size / 512)) status=none | tr -d '\0'
}

write_signature() {
	empty_signature "$1"
	dd of="$1" bs=512 seek=$((start / 512)) conv=notrunc status=none
}

# A higher rollback index is what a thief of an old image would like to write.
alter_descriptor() {
	local json text
	json=$(signature_json "$1")
	text=$(jq -r .underlay.descriptor <<<"$json" | base64 -d | sed 's/^rollback-index=.*/rollback-index=99/' |
		base64 -w 0)
	jq -c --arg text "$text" '.underlay.descriptor = $text' <<<"$json" | write_signature "$1"
}

drop_descriptor() {
	signature_json "$1" | jq -c 'del(.underlay)' >"$1.json"
	write_signature "$1" <"$1.json"
}

truncate_image() {
	truncate -s $(($(stat -c %s "$1") / 2)) "$1"
}

# repack INITRD FOLDER [NAME]: the initramfs with the folder's files instead of, or besides, its own, and without
# the files of that name. (The kernel stops at the end of a zstd archive: nothing can follow it.)
repack() {
	local initrd=$1 folder=$2
	mkdir -p "$folder.root"
	zstd -dc "$initrd" | (cd "$folder.root" && cpio -idmu --quiet) &&
		cp -R "$folder/." "$folder.root/" &&
		find "$folder.root" -name "${3:-no file has this name}" -delete &&
		(cd "$folder.root" && find . -mindepth 1 | cpio -o -H newc --quiet) >"$folder.initrd" &&
		rm -r "$folder.root" && echo "$folder.initrd"
}

# What systemd-repart makes of a folder: no descriptor, and nothing in it but what the folder has.
repart_image() {
	local name=$1 folder=$2 defs=$work/$1.repart partition
	mkdir -p "$defs"
	for partition in "10 usr data" "20 usr-verity hash" "30 usr-verity-sig signature"; do
		read -r number type role <<<"$partition"
		printf '%s\n' "[Partition]" "Type=$type" "Label=appliance_1.0" "Verity=$role" VerityMatchKey=usr \
			>"$defs/$number-$type.conf"
	done
	printf '%s\n' Format=erofs CopyFiles=/:/ Minimize=best >>"$defs/10-usr.conf"
	printf '%s\n' Minimize=best >>"$defs/20-usr-verity.conf"
	cp "$keys_dir"/signer.* "$defs"
	in_tree -b "$defs:/srv" -b "$folder:/mnt" "$(cache_tree trixie)" systemd-repart --definitions=/srv \
		--empty=create --size=auto --dry-run=no --offline=yes --copy-source=/mnt \
		--private-key=/srv/signer.key --certificate=/srv/signer.crt /srv/out.img >"$defs/log" 2>&1 ||
		{ cat "$defs/log" && return 1; }
	mv "$defs/out.img" "$work/$name.img"
}

# boot NAME CMDLINE DISK... [-- CONFIG-LINE...]: by the policy that the lines make; $initrd, where it is set,
# is the initramfs instead.
boot() {
	local name=$1 cmdline=$2 own=${initrd:-}
	local -a disks=()
	shift 2
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		disks+=("$1")
		shift
	done
	if [ -z "$own" ]; then
		image_config "$work/$name.conf" "${@:2}"
		own=$(image_initrd $kernel "$work/$name.conf") || return 1
	fi
	qemu_boot "$name" "$(cache_kernel $kernel)" "$own" "$cmdline appliance.scenario=hello" 240 "${disks[@]}"
	tr -d '\r' <"$qemu_dir/$name.console" | grep -o 'underlay: .*' >"$work/$name.said"
}

# late MODE END IMAGE: dm-verity itself acts on the corrupt block, as the policy told it.
late() {
	local name=late-$1 bad
	boot "$name" "" "$3" -- "${attach[@]}" "[verify]" "corruption = $1"
	bad=$(
		tap "$name: the kernel says which block" grep -q 'device-mapper: verity:.* is corrupted' \
			"$qemu_dir/$name.console"
		tap_is "$name: how the machine ended" "$(cat "$qemu_dir/$name.end")" "$2"
		tap "$name: nothing of the system ran" test ! -s "$qemu_dir/$name.results"
	)
	echo "$bad"
	lacks -q '^not ok' <<<"$bad" || qemu_show "$name"
}

# The same, and the shell ran.
with_shell() {
	refused "$@"
	tap "$1: the shell ran on the console, as root" grep -q 'underlay-test: a shell for 0' "$qemu_dir/$1.console"
}

image_keys && image=$(image_appliance 2.26) || { echo "not ok - the image is made" && exit 1; }
system=$(image_system 2.26)
attach=("[database]" "mode = attach")
action() {
	printf 'action = %s' "$1"
}

# ---- the disk was written to ---------------------------------------------------------------------

spoilt=$(copy_image data-flipped) && spoil_data "$spoilt"
tap_case refused data-flipped 21:corrupt reboot 'verify: .*: a block does not match' "" "$spoilt" -- "$(action reboot)"

spoilt=$(copy_image tree-flipped) && spoil_tree "$spoilt"
tap_case refused tree-flipped 21:corrupt poweroff 'verify: .*: a block does not match' "" "$spoilt" -- "$(action poweroff)"

spoilt=$(copy_image signature-empty) && empty_signature "$spoilt"
tap_case refused signature-empty 18:bad-signature halt 'verify: .*empty' "" "$spoilt" -- "$(action halt)"

if tap_matrix; then
	spoilt=$(copy_image descriptor-altered) && alter_descriptor "$spoilt"
	tap_case refused descriptor-altered 18:bad-signature reboot 'verify: .*descriptor' "" "$spoilt"

	spoilt=$(copy_image descriptor-gone) && drop_descriptor "$spoilt"
	tap_case refused descriptor-gone 16:bad-descriptor reboot 'verify: .*descriptor' "" "$spoilt"

	spoilt=$(copy_image truncated) && truncate_image "$spoilt"
	tap_case refused truncated 15:bad-partitions reboot 'find: .*' "" "$spoilt"
fi

spoilt=$(copy_image superblock-altered) && spoil_superblock "$spoilt"
tap_case boots superblock-altered "" "$spoilt" -- "${attach[@]}"

# ---- another image than the policy wants ---------------------------------------------------------

spoilt=$(copy_image stranger) &&
	"$underlay" image sign "$spoilt" --key "$keys_dir/stranger.key" --cert "$keys_dir/stranger.crt" >/dev/null
tap_case refused stranger 19:unknown-signer reboot 'verify: .*' "" "$spoilt"
tap_row refused pinned-other 17:wrong-root-hash reboot 'verify: .*the policy demands 0123' "" "$image" -- \
	"[verify]" "root-hash = $(printf '0123456789abcdef%.0s' 1 2 3 4)"
tap_case refused pinned-on-cmdline 17:wrong-root-hash reboot 'verify: .*the command line demands 0123' \
	"usrhash=$(printf '0123456789abcdef%.0s' 1 2 3 4)" "$image"
tap_case refused rollback 22:rollback reboot "verify: .*the policy's floor is 5" "" "$image" -- "[verify]" "rollback-min = 5"
tap_row refused other-name 14:no-image reboot 'find: .*appliance' "" "$image" -- "[image]" "name = other"
serial=$(openssl x509 -in "$keys_dir/signer.crt" -noout -serial | cut -d = -f 2)
tap_case refused not-in-keyring 19:unknown-signer reboot \
	"verify: .*no key of \.builtin_trusted_keys \([0-9]+ entr.*or \.platform \(.*\) made it; it names serial $serial of .*signer" \
	"" "$image" -- "[verify]" "mode = kernel"
# A kernel that has the keys of the firmware, but does not ask them for this.
kernel=6.1 tap_case refused not-in-keyring-6.1 19:unknown-signer reboot \
	"verify: .*or \.secondary_trusted_keys \(.*\) \(\.platform is asked from kernel 6.12 on\) made it; it names serial $serial" \
	"" "$image" -- "[verify]" "mode = kernel"
tap_row refused filesystem 23:bad-filesystem reboot 'lower: .*erofs' "" "$image" -- "[lower]" "filesystems = squashfs"

# ---- something is missing ------------------------------------------------------------------------

tap_case refused device-absent 13:device-missing reboot 'find: .*no disk appeared' ""
truncate -s 16M "$work/empty.img"
tap_row refused disk-empty 14:no-image reboot 'find: .*' "" "$work/empty.img"
tap_row refused system-missing 30:no-system reboot 'lower: .*nowhere' "" "$image" -- \
	"[system]" "path = ${system%-*}-nowhere"

image_config "$work/packed.conf"
packed=$(image_initrd $kernel "$work/packed.conf")
mkdir -p "$work/no-module"
initrd=$(repack "$packed" "$work/no-module" 'dm-verity.ko*') \
	tap_case refused module-absent 12:module-missing reboot 'modules: .*dm.verity' "" "$image"

image_json=$(jq -cn --arg system "$system" '{format: 1, name: "appliance", version: "1.0", $system, storeDir: "/nix/store",
	paths: 1, narSize: 1, manifestFormat: 1, nixSchema: 10, database: false}')
foreign=("[verify]" "descriptor = optional")
rm -rf "$work"/{no-store,no-info,no-manifest,bad-manifest}
mkdir -p "$work/no-store/nix/store" "$work"/{no-info,no-manifest,bad-manifest}/nix/.underlay
# Not one of ours, by what it has; then ours, by /nix/.underlay, with something of it missing.
if tap_matrix; then repart_image no-store "$work/no-store"; fi
tap_row refused no-store 24:bad-image-info reboot 'lower: .*not ours: .*neither /nix/store nor .* holds store paths' "" \
	"$work/no-store.img" -- "${foreign[@]}"
if tap_matrix; then repart_image no-info "$work/no-info"; fi
tap_row refused no-info 24:bad-image-info reboot 'lower: .*image.json: No such file' "" "$work/no-info.img" -- "${foreign[@]}"
echo "$image_json" | tee "$work/no-manifest/nix/.underlay/image.json" >"$work/bad-manifest/nix/.underlay/image.json"
repart_image no-manifest "$work/no-manifest"
tap_case refused no-manifest 25:bad-manifest reboot 'lower: .*manifest: No such file' "" "$work/no-manifest.img" -- "${foreign[@]}"
head -c 20000 /dev/zero | tr '\0' 'x' >"$work/bad-manifest/nix/.underlay/manifest"
if tap_matrix; then repart_image bad-manifest "$work/bad-manifest"; fi
tap_row refused bad-manifest 25:bad-manifest reboot 'lower: .*manifest' "" "$work/bad-manifest.img" -- "${foreign[@]}"

# ---- the policy, and what the command line may do about it ---------------------------------------

# A misspelt setting: `underlay initrd build` would not pack it, so it is laid over.
mkdir -p "$work/bad-config/etc/underlay"
printf '[verify]\nmode = user\nrollback-mim = 3\n' >"$work/bad-config/etc/underlay/underlay.conf"
initrd=$(repack "$packed" "$work/bad-config") \
	tap_row refused bad-config 10:bad-config reboot 'policy: .*rollback-mim: /etc/underlay/underlay.conf:3: there is no such setting' "" "$image"

weaken() {
	"${row:-tap_row}" refused "$1" 11:cmdline-refused reboot "(policy|lower): .*${3:-$2}" "$2" "$image"
}
row=tap_case weaken cmdline-verify underlay.verify=pinned
weaken cmdline-descriptor underlay.descriptor=optional
weaken cmdline-allow underlay.allow=init
weaken cmdline-shell underlay.failure=shell
row=tap_case weaken cmdline-init init=/bin/sh "init=.*: /bin/sh: this image starts"
weaken cmdline-typo underlay.no-such-thing=1
weaken cmdline-rollback underlay.rollback-min=-1
weaken cmdline-signatures dm_verity.require_signatures=0
tap_case boots cmdline-others "rd.break rd.shell systemd.verity=no systemd.debug_shell root=/dev/vda1 quiet" "$image" -- \
	"${attach[@]}"

# The kernel makes an environment of words that it does not know: it must not reach underlay-init's dynamic loader. The
# same library in the same initramfs is loaded where underlay-init itself is /init, or this would show nothing.
mkdir -p "$work/preload" "$work/preload-direct"
cat >"$work/preload.c" <<-'END'
	#include <unistd.h>
	__attribute__((constructor)) static void loaded(void)
	{
		(void)!write(2, "underlay-test: preloaded\n", 25);
	}
END
gcc -shared -fPIC -nostartfiles -o "$work/preload/preload.so" "$work/preload.c"
cp "$work/preload/preload.so" "$work/preload-direct/"
cp "${underlay%/*}/underlay-init" "$work/preload-direct/init"
image_config "$work/preload.conf" "${attach[@]}"
packed_preload=$(image_initrd $kernel "$work/preload.conf")
environment="LD_PRELOAD=/preload.so LD_LIBRARY_PATH=/ GLIBC_TUNABLES=glibc.malloc.check=3 LIBBLKID_DEBUG=all"
preload() { # NAME COUNT
	boots "$1" "$environment" "$image"
	tap_is "$1: libraries that LD_PRELOAD brought in" "$(grep -c 'underlay-test: preloaded' "$qemu_dir/$1.console")" "$2"
}
initrd=$(repack "$packed_preload" "$work/preload") tap_case preload cmdline-preload 0
initrd=$(repack "$packed_preload" "$work/preload-direct") tap_case preload cmdline-preload-direct 1

# A shell, where the policy grants one: it is the initramfs' own, and the machine restarts after it.
mkdir -p "$work/with-shell/bin"
cp /bin/busybox "$work/with-shell/bin/busybox"
printf '#!/bin/busybox sh\necho "underlay-test: a shell for $(/bin/busybox id -u)"\n' >"$work/with-shell/bin/sh"
chmod +x "$work/with-shell/bin/sh"
image_config "$work/shell.conf" "action = shell"
initrd=$(repack "$(image_initrd $kernel "$work/shell.conf")" "$work/with-shell") \
	tap_case with_shell shell 17:wrong-root-hash shell 'verify: .*the command line demands' \
	"usrhash=$(printf '0123456789abcdef%.0s' 1 2 3 4)" "$image"

# ---- a block that goes bad after the boot's own first read ---------------------------------------

# The first block of the program that init's first line names: bad when the hand-over reads it.
spoilt=$(copy_image late) && spoil_file "$spoilt" "$(sed -n '1s/^#!\([^ ]*\) .*/\1/p' "$(appliance_store 2.26)$system/init")"
tap_case refused late-eio 21:corrupt reboot 'pivot: .*appliance-system/init: a block' "" "$spoilt" -- "${attach[@]}" "[verify]" "corruption = eio"
tap_case late restart reboot "$spoilt"
tap_case late panic panic "$spoilt"

tap_cases
tap_end
