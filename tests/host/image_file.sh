#!/usr/bin/env bash
# Images that are files on another filesystem: which one is taken, where it stays mounted, and what is passed over or
# refused. Stage find is the boot's own; dm-verity's place is the data partition itself.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/stages.sh
. tests/lib/sealed.sh
dir=$tmp

# Real images, whose partitions become loop devices.
make_store && build "$tmp/demo_1.2.img" 1.2 && build "$tmp/demo_1.10.img" 1.10 && build "$tmp/demo_1.3.img" 1.3 ||
	{ cat "$tmp/out" && echo "not ok - the images are made" && exit 1; }

# host NAME: the files of $tmp/NAME on an ext4, in $device; its label is NAME. (tests/qemu/interop.sh has vfat and ISO
# 9660, which the kernel under this test need not know.)
host() {
	mkfs.ext4 -q -L "$1" -d "$tmp/$1" "$tmp/$1.host" 96M >"$tmp/mkfs.log" 2>&1 || { cat "$tmp/mkfs.log" && exit 1; }
	attach_device "$tmp/$1.host"
}

policy() { # FILE [LINE...]
	lines=("[image]" "file = $1" "file-device = ${on:-$device}" "timeout = 1s" "settle = 0" "${@:2}")
}
go() { # SCRIPT: the stages from find on
	local device=find
	run "$1" "" "${lines[@]}"
}
go_refused() { # NAME CODE SENTENCE
	local device=find
	refused "$1" "$2" "$3" "" "${lines[@]}"
}
export data=${data##*/}
booted='set -e
	[ "$(head -n 1 "$root/nix/store/$data/numbers")" = 1 ]
	jq -e ".lowers[0] | .version == \"$version\" and (.device | test(\"^/dev/loop\")) and (.disk | test(\"/host/.*demo_$version.img$\"))" "$run/state.json"
	findmnt -no OPTIONS "$run/host" | grep -q "^ro,nosuid,nodev,noexec"'
export version

mkdir -p "$tmp/GOOD/images"
mv "$tmp"/demo_*.img "$tmp/GOOD/images/"
echo noise >"$tmp/GOOD/images/notes.img"
host GOOD
version=1.3
policy /images/demo_1.3.img
tap "one file" go "$booted"
version=1.10
policy "images/demo_*.img"
tap "the newest of several, by version and not by letters" go "$booted"
policy "/images/*.img"
tap "what is no image is passed over" go "$booted"
on=LABEL=GOOD policy "/images/*.img"
tap "by the filesystem's label" go "$booted"
on=UUID=$(blkid -p -o value -s UUID "$device") policy "/images/*.img"
tap "by the filesystem's UUID" go "$booted"
policy "/images/*.img"
lines+=("name = other")
go_refused "an image of another name" 14 'device: looking for an image: .*there is only demo 1'

attached() { losetup -nO BACK-FILE | awk '/demo_1/ { n++ } END { print n + 0 }'; }
tap_is "no loop device is left behind" "$(attached)" 0

mkdir -p "$tmp/BAD/real" "$tmp/BAD/is-directory.img"
cp "$tmp/GOOD/images/demo_1.2.img" "$tmp/BAD/real/"
ln -s real "$tmp/BAD/link"
ln -s real/demo_1.2.img "$tmp/BAD/link.img"
mkfifo "$tmp/BAD/fifo.img"
echo noise >"$tmp/BAD/noise.img"
host BAD ext4
policy /link/demo_1.2.img
go_refused "a symlink on the way" 14 "device: looking for the image's file: /link/demo_1.2.img: Too many levels of symbolic links"
policy /../etc/demo.img
go_refused "a way out" 14 "device: looking for the image's file: /../etc/demo.img: (Invalid cross-device link|No such file)"
policy /link.img
go_refused "a symlink" 14 "device: looking for the image's file: /link.img: no file of this name can be used"
policy /fifo.img
go_refused "a FIFO" 14 'device: .*no file of this name can be used'
policy "/is-*.img"
go_refused "a directory" 14 'device: .*no file of this name can be used'
policy /none.img
go_refused "no such file" 14 "device: looking for the image's file: /none.img: there is no file of this name on $device"
policy /noise.img
go_refused "a file that is no image" 14 'device: looking for an image: /noise.img on .*: none of the files .1. holds a signed image'
on=LABEL=NOWHERE policy /x.img
go_refused "a device that is not there" 13 'device: looking for an image: /x.img on LABEL=NOWHERE: no disk appeared'
attach_device "$tmp/GOOD/images/demo_1.2.img"
policy /x.img
go_refused "a device without such a filesystem" 23 'device: .*it holds neither vfat, ext4 nor ISO 9660'
cp "$tmp/BAD.host" "$tmp/twin.host" && attach_device "$tmp/twin.host"
on=LABEL=BAD policy /real/demo_1.2.img
go_refused "two devices of one name" 13 'device: .*LABEL=BAD: 2 devices have this name'
lines=("[image]" "file = /x.img")
go_refused "a file without its device" 10 'policy: reading \[image\] file: .*underlay.conf:[0-9]+: file is set without file-device'
policy /x.img "disks = vda"
go_refused "a file and disks" 10 'policy: reading \[image\] disks: .*on a disk or in a file, not both'
on=relative policy /x.img
go_refused "a device that is no path" 10 'policy: reading \[image\] file-device: .*file-device "relative": it is neither a path nor a name'
tap_end
