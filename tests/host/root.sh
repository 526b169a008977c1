#!/usr/bin/env bash
# The new root is what the policy says, whatever somebody mounted where it is to be: by the boot's stages, over a disk
# that has an /etc of its own. And the machine's id, which the upper keeps, whatever is in its way there.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/stages.sh
make_tree "$tmp/good" || { echo "not ok - the lower is made" && exit 1; }
lower good
good=$device
export said=$tmp/said

# disk NAME: an ext4 of its own in $device.
disk() {
	truncate -s 32M "$tmp/$1.disk" && mkfs.ext4 -q "$tmp/$1.disk" && attach_device "$tmp/$1.disk"
}

# ---- whose root it is ----------------------------------------------------------------------------

disk stranger && stranger=$device
mkdir "$tmp/mnt" && mount "$stranger" "$tmp/mnt" && mkdir "$tmp/mnt/etc" "$tmp/mnt/usr" &&
	echo /evil.so >"$tmp/mnt/etc/ld.so.preload" && umount "$tmp/mnt" || { echo "not ok - the disk is made" && exit 1; }
device=$good
export stranger
at_root='mount "$stranger" "$root"; exec 2> >(tee "$said" >&2)'
below_root='mkdir -p "$root/usr"; mount "$stranger" "$root/usr"; exec 2> >(tee "$said" >&2)'
below_tmpfs='mount -t tmpfs mine "$root"; '$below_root
mounted=("[root]" "from = mounted")

before=$at_root
tap "a disk that is mounted there is not the root" run '
	set -e
	[ ! -e "$root/etc/ld.so.preload" ]
	[ "$(findmnt -no FSTYPE "$root" | tail -n 1)" = tmpfs ]
	[ -d "$root/nix/store/$library" ]
	jq -e ".root == {from: \"tmpfs\", unsealed: []}" "$run/state.json"
	"$underlay" status --file "$run/state.json" >"$said.status"
	lacks unsealed "$said.status"
	grep -qF "underlay: root: / (ext4, $stranger) was mounted at $root already: it is hidden" "$said"'
tap "it is where the policy says so: with a warning, and state.json and status say it" run '
	set -e
	[ -e "$root/etc/ld.so.preload" ]
	grep -qF "underlay: root: unsealed: / (ext4, $stranger): whoever can write it" "$said"
	jq -e ".root == {from: \"mounted\", unsealed: [\"/ (ext4, $stranger)\"]}" "$run/state.json"
	"$underlay" status --file "$run/state.json" | grep -qF "unsealed: / (ext4, $stranger)"' "" "${mounted[@]}"
tap "nothing is written to its /etc" run '[ ! -e "$root/etc/machine-id" ] && [ ! -e "$root/etc/os-release" ]' "" "${mounted[@]}"
before=$below_root
tap "a disk that is mounted below is hidden too" run '
	set -e
	[ ! -e "$root/usr/etc" ]
	grep -qF "underlay: root: /usr (ext4, $stranger) was mounted at $root already: it is hidden" "$said"'
# With one below it, as /run is in another initramfs.
before='mount -t tmpfs mine "$root"; touch "$root/mine"; mkdir "$root/run"; mount -t tmpfs run "$root/run"'
tap "a tmpfs is hidden like a disk" run '[ ! -e "$root/mine" ]'
tap "by policy it is the root, and nobody's disk" run '
	set -e
	[ -e "$root/mine" ]
	[ -d "$root/nix/store/$library" ]
	jq -e ".root == {from: \"mounted\", unsealed: []}" "$run/state.json"' "" "${mounted[@]}"
before=$below_tmpfs
tap "but a disk below it is somebody's" run '
	set -e
	[ -e "$root/usr/etc/ld.so.preload" ]
	jq -e ".root.unsealed == [\"/usr (ext4, $stranger)\"]" "$run/state.json"' "" "${mounted[@]}"
before=
refused "a policy that wants what is mounted, and nothing is" 2 'root: using what is mounted .*: nothing is mounted there' "" "${mounted[@]}"
before='mount -t tmpfs mine "$root"; ln -s /tmp "$root/nix"'
refused "a mounted root whose /nix leads elsewhere" 2 'root: .*/nix: Not a directory' "" "${mounted[@]}"
before=$at_root
refused "a kernel parameter that asks for it" 11 'policy: .*underlay.root-from=mounted' "underlay.root-from=mounted"
before=

# ---- machine-id ----------------------------------------------------------------------------------

disk upper && upper=$device
device=$good
is_id='id=$(cat "$root/etc/machine-id") && grep -qxE "[0-9a-f]{32}" <<<"$id" && same "$root/etc/machine-id" "$root/nix/.rw/machine-id"'
# id NAME SCRIPT: a boot over the disk, whose id must be right, then the script.
id() {
	tap "machine-id: $1" run "set -e; $is_id; $2" "" "[upper]" "type = disk" "device = $upper" "timeout = 1s"
}
export kept=$tmp/kept
id "the upper's, made at its first boot" 'echo "$id" >"$kept"'
id "the same at the next" '[ "$id" = "$(cat "$kept")" ]; cd "$root/nix/.rw"; rm machine-id; mkdir -p machine-id/x machine-id.tmp/y'
id "directories in its way are moved aside" '
	[ -d "$root/nix/.rw/machine-id.bad-1/x" ]
	[ -d "$root/nix/.rw/machine-id.tmp.bad-1/y" ]
	echo "$id" >"$kept"'
id "and it stays" '[ "$id" = "$(cat "$kept")" ]; cd "$root/nix/.rw"; rm machine-id; ln -s /etc/hostname machine-id; mkdir machine-id.tmp'
id "a symlink that leads elsewhere" '[ "$id" != "$(cat "$kept")" ]; cd "$root/nix/.rw"; echo nonsense >machine-id'
id "what is no id is replaced" 'echo "$id" >"$kept"; rm "$root/nix/.rw/machine-id"'
# No pool that the kernel calls ready.
under="strace -qqq -o /dev/null -e trace=getrandom -e inject=getrandom:error=EAGAIN"
id "one before the kernel's random pool is ready" '[ "$id" != "$(cat "$kept")" ]; echo "$id" >"$kept"; rm "$root/nix/.rw/machine-id"'
id "and another one each time" '[ "$id" != "$(cat "$kept")" ]'
under=
tap_end
