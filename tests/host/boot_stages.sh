#!/usr/bin/env bash
# The boot's stages from policy to overlay, on a loop device in place of dm-verity, each boot in a mount namespace of
# its own: what they leave in the new root, and the code that each broken lower or policy ends in.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/stages.sh
make_tree "$tmp/good" || { echo "not ok - the lower is made" && exit 1; }
lower good
good=$device

attach=("[database]" "mode = attach")
rebuild=("[database]" "mode = rebuild")

# ---- what they leave -----------------------------------------------------------------------------

for mode in attach rebuild; do
	tap "$mode: the overlay shows the lower, and takes what is added into the upper" run '
		set -e
		cmp "$root/nix/store/$library/file" <(echo library)
		echo new >"$root/nix/store/new"
		[ "$(cat "$session/new")" = new ]
		fails 1 "Read-only file system" touch "$root/nix/.ro/nix/store/new"
		[ "$(ls "$session")" = new ]' "" "[database]" "mode = $mode"
	tap "$mode: roots for the paths that no other refers to" run '
		[ "$(ls "$root/nix/var/nix/gcroots/underlay/lower0" | tr "\n" " ")" = \
			"$system $other " ]' "" "[database]" "mode = $mode"
	tap "$mode: state.json tells it" run '
		jq -e "[.result, .database.mode, .database.gcRoots, .lowers[0].paths, .lowers[0].system] ==
			[\"prepared\", \"'$mode'\", 2, 3, \"/nix/store/$system\"]" "$run/state.json"' "" "[database]" "mode = $mode"
done
tap "the overlay's mount is what Nix looks for, with paths as seen in the new root" run '
	mkdir -p "$root/proc"
	mount --bind /proc "$root/proc"
	mount --bind /usr "$root/var" && mkdir "$root/usr" && mount --move "$root/var" "$root/usr"
	ln -s usr/lib "$root/lib"; ln -s usr/lib64 "$root/lib64"
	chroot "$root" /usr/bin/grep -qE "^overlay /nix/store overlay rw,nosuid,nodev,.*lowerdir=/nix/.ro/nix/store:/nix/.names/0/links,upperdir=/nix/.rw/sessions/[0-9]{8}-[0-9a-f]{16}/up," /proc/mounts' \
	"" "${attach[@]}"
tap "the lower is read-only, nodev and nosuid" run '
	findmnt -no OPTIONS "$root/nix/.ro" | grep -q "^ro,nosuid,nodev"' "" "${attach[@]}"
tap "the upper in memory is nodev and nosuid, and root's alone" run '
	set -e
	findmnt -no OPTIONS "$root/nix/.rw" | grep -q "^rw,nosuid,nodev"
	findmnt -no OPTIONS "$root/nix/var" | grep -q "^rw,nosuid,nodev"
	[ "$(stat -c "%a %u:%g" "$root/nix/.rw")" = "700 0:0" ]' "" "${attach[@]}"
# The kernel shows only those options that are not its default, which a module parameter may be.
under="strace -qqq -s 4096 -o $tmp/mounts -e trace=mount"
run true "" "${attach[@]}" >"$tmp/out" 2>&1
under=
tap "the overlay's options leave nothing to a module parameter" grep -qE \
	'^mount\("overlay", "/nix/store", "overlay", [A-Z_|]*, "[^"]*,index=off,metacopy=off,redirect_dir=nofollow,xino=off"\) = 0$' "$tmp/mounts"
tap "attach: nix.conf names both layers, and no database is written" run '
	set -e
	grep -qxF "store = local-overlay://?lower-store=local%3Froot%3D/nix/.ro%26read-only%3Dtrue&check-mount=false&upper-layer=${session#"$root"}" "$run/nix.conf"
	grep -qx "extra-experimental-features = local-overlay-store read-only-local-store" "$run/nix.conf"
	[ "$(grep -v "^#" "$run/users.conf")" = "store = daemon" ]
	[ ! -e "$root/nix/var/nix/db/db.sqlite" ]' "" "${attach[@]}"
tap "attach: the remount hook of the policy" run '
	grep -q "&remount-hook=/nix/store/x/hook$" "$run/nix.conf"' "" "${attach[@]}" "remount-hook = /nix/store/x/hook"
make_tree "$tmp/hooked" && mkdir "$tmp/hooked/nix/store/$system/bin"
ln -s "/nix/store/$system/real-init" "$tmp/hooked/nix/store/$system/bin/underlay-remount"
lower hooked
tap "attach: the remount hook of the system" run '
	grep -q "&remount-hook=/nix/store/$system/bin/underlay-remount$" "$run/nix.conf"' "" "${attach[@]}"
tap "attach: the policy's comes first" run '
	grep -q "&remount-hook=/nix/store/x/hook$" "$run/nix.conf"' "" "${attach[@]}" "remount-hook = /nix/store/x/hook"
device=$good
tap "rebuild: every path is in the database, and nix.conf has the store opened as ever" run '
	[ "$(sqlite3 "$root/nix/var/nix/db/db.sqlite" "select count(*) from ValidPaths")" = 3 ] &&
	[ "$(grep -v "^#" "$run/nix.conf")" = "store = auto" ]
	equal "$(grep -c "^#" "$run/users.conf")" "$(wc -l <"$run/users.conf")"' "" "${rebuild[@]}"
tap "auto: a Nix that can attach" run 'jq -e ".database.mode == \"attach\"" "$run/state.json"' "" "[database]" "nix-version = 2.22.0"
tap "auto: a Nix that cannot" run 'jq -e ".database.mode == \"rebuild\"" "$run/state.json"' "" "[database]" "nix-version = 2.18"
tap "auto: a Nix that nobody knows" run 'jq -e ".database.mode == \"rebuild\"" "$run/state.json"'
tap "what systemd and others look for after an initramfs" run '
	set -e
	[ "$(readlink "$run/system")" = "/nix/store/$system" ]
	grep -qx "UNDERLAY_INIT=/nix/store/$system/init" "$run/system.env"
	for mount in nix-.ro nix-.rw nix-store nix-var nix-var-nix-gcroots-underlay; do # no name has a dash of its own
		grep -qx "DefaultDependencies=no" "$run/systemd/system/$mount.mount"
		grep -qx "Where=/${mount//-/\/}" "$run/systemd/system/$mount.mount"
	done
	[ -f "$root/etc/machine-id" ]
	[ ! -s "$root/etc/machine-id" ]
	grep -q "^ID=" "$root/etc/os-release"' "" "${attach[@]}"
tap "sizes of the policy" run '
	[ "$(findmnt -bno SIZE "$root/nix/.rw") $(findmnt -bno SIZE "$root")" = "8388608 4194304" ]' \
	"" "[upper]" "size = 8M" "[root]" "size = 4M"
tap "init= that names what is started anyway" run true "init=/nix/store/$system/init quiet"
# The remounts of the tmpfs upper, in order, and the place of the first among the calls of mount.
remounts() {
	grep -o 'huge=[a-z_]*' "$tmp/mounts" | tr '\n' ' '
}
under="strace -f -qq -e trace=mount -o $tmp/mounts"
# The size is the policy's: the kernel does not show its own default, half of the memory's pages.
tap "the tmpfs upper: huge pages while the database is written, and no longer" run '
	[[ ",$(findmnt -no OPTIONS "$root/nix/.rw")," = *,nosuid,nodev,*size=65536k,* ]] &&
	[[ ",$(findmnt -no OPTIONS "$root/nix/.rw")," != *,huge=* ]]' "" "${rebuild[@]}" "[upper]" "size = 64M"
tap_is "    and the database is written in between" "$(remounts)" "huge=within_size huge=never "
under+=" -e inject=mount:error=EINVAL:when=$(sed -n '/mount(/{=;/within_size/q}' "$tmp/mounts" | wc -l)"
tap "    and it is written on a kernel that has none" run 'test -s "$root/nix/var/nix/db/db.sqlite"' "" "${rebuild[@]}"
tap "    (this one refused)" grep -q 'within_size.*EINVAL.*INJECTED' "$tmp/mounts"
under=
make_tree "$tmp/squash" && lower squash squashfs
tap "a lower of squashfs" run 'cmp "$root/nix/store/$library/file" <(echo library)'

# ---- what is refused -----------------------------------------------------------------------------

device=$good
refused "a policy with a misspelt key" 10 'policy: reading \[upper\] sise: .*underlay.conf:5: there is no such setting' "" "[upper]" "sise = 1M"
refused "a parameter that the policy does not allow" 11 'policy: .*underlay.timeout=1: ' "underlay.timeout=1"
refused "another init than the image's" 11 'lower: .*/bin/sh: this image starts' "init=/bin/sh"
refused "erofs where the policy wants squashfs" 23 'lower: .*erofs' "" "[lower]" "filesystems = squashfs"
refused "an image of another name, whatever its label says" 14 'lower: .*it is demo, the policy wants other' "" "[image]" "name = other"
refused "a system that is not in the image" 30 'lower: .*nowhere/init: No such file' "" "[system]" "path = /nix/store/nowhere"
refused "a system outside the store" 30 'lower: .*/etc/x: it is not a path of' "" "[system]" "path = /etc/x"
refused "a system with a way out" 30 'lower: .*it is not a path of' "" "[system]" "path = /nix/store/../../bin"
refused "an init that is not executable" 30 'lower: .*not an executable' "" "[system]" "path = /nix/store/$library" "init = file"

spoil() {
	make_tree "$tmp/$1"
	(cd "$tmp/$1/nix" && eval "$2")
	lower "$1"
}
# The collector's roots. The list is the image's; a long one is made where the collector needs it.
roots='[ "$(findmnt -no FSTYPE,OPTIONS "$root/nix/var/nix/gcroots/underlay" | grep -c "^tmpfs *ro,nosuid,nodev,noexec")" = 1 ] &&
	[ "$(ls "$root/nix/var/nix/gcroots/underlay/lower0" | wc -l)" = $n ] &&
	is_empty_dir "$root/nix/.rw/var/nix/gcroots/underlay" && jq -e ".database.gcRoots == $n" "$run/state.json"'
export n=1
spoil one-root 'echo $other >.underlay/roots'
for mode in attach rebuild; do
	tap "$mode: the one root of the image's list, on a tmpfs that nobody writes to" run "$roots" "" "[database]" "mode = $mode"
done
n=1500
spoil many-roots 'seq -f "%032.0f-path" 1500 >.underlay/roots'
tap "rebuild: as many roots as an older image lists, and no inode of the upper" run "$roots" "" "${rebuild[@]}"
tap "attach: none of so many, and the boot says so" run '
	is_empty_dir "$root/nix/var/nix/gcroots/underlay" && jq -e ".database.gcRoots == 0" "$run/state.json"' "" "${attach[@]}"
spoil bad-roots 'echo nonsense >.underlay/roots'
refused "a list of roots that is none" 25 'database: .*line 1 is not the name of a store path' "" "${rebuild[@]}"
spoil no-manifest 'rm .underlay/manifest'
refused "no manifest" 25 'lower: opening the manifest: nix/.underlay/manifest: No such file'
spoil bad-manifest 'truncate -s 100 .underlay/manifest'
refused "a manifest that is cut" 25 'lower: '
spoil no-info 'rm .underlay/image.json'
refused "no image.json" 24 'lower: .*image.json: No such file'
spoil bad-info 'echo "{" >.underlay/image.json'
refused "an image.json that is cut" 24 'lower: '
spoil other-store 'sed -i "s|/nix/store|/gnu/store|g" .underlay/image.json'
refused "an image for another store directory" 24 'lower: .*/gnu/store'
spoil no-system 'sed -i "s/\"system\": \"[^\"]*\", //" .underlay/image.json'
refused "nobody names a system" 30 'lower: .*neither the image nor the policy'
spoil no-database 'rm var/nix/db/schema'
refused "attach without a whole database" 26 'lower: .*schema: No such file' "" "${attach[@]}"
tap "the same rebuilt" run true "" "${rebuild[@]}"
head -c 1M /dev/urandom >"$tmp/noise.img" && attach_device "$tmp/noise.img" --read-only
refused "no filesystem at all" 23 'lower: .*a filesystem that is known here'
make_tree "$tmp/strange" && lower strange squashfs
# The superblock's number of the compression.
printf '\11' | dd of="$tmp/strange.img" bs=1 seek=20 conv=notrunc status=none && attach_device "$tmp/strange.img" --read-only
refused "a compression that the kernel lacks" 23 'lower: .*this kernel cannot read this squashfs.*Build the image with another --compression'
truncate -s 1K "$tmp/empty.img" && attach_device "$tmp/empty.img" --read-only
refused "a device that is too small" 23 'lower: '
tap_end
