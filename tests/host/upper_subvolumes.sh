#!/usr/bin/env bash
# The upper's directories where somebody made subvolumes of btrfs of them, read-only ones too, or of what lies in them:
# two boots each. And a disk whose blocks are free for root alone, which the reserve must not be given for.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/namespace.sh
export TMPDIR=/dev/shm # thousands of syncs, which no real disk need do
. tests/lib/tap.sh
. tests/lib/stages.sh
PATH=$PATH:/usr/sbin:/sbin

make_tree "$tmp/good" || { echo "not ok - the lower is made" && exit 1; }
chmod 1775 "$tmp/good/nix/store" && chgrp 30000 "$tmp/good/nix/store"
lower good
lower=$device
mkdir "$tmp/mnt"

# disk FS SIZE OPTION...: an upper that a boot has made; it is mounted at $tmp/mnt.
disk() {
	rm -f "$tmp/disk"
	truncate -s "$2" "$tmp/disk"
	"mkfs.$1" -q "${@:3}" "$tmp/disk" >/dev/null
	attach_device "$tmp/disk"
	disk=$device device=$lower
	policy=("[upper]" "type = disk" "device = $disk" "timeout = 1s" "filesystem = $1")
	booted true >/dev/null 2>&1
	mount "$disk" "$tmp/mnt"
}

booted() {
	run "$1" "" "${policy[@]}"
}

# Of a directory that is there, with what it holds.
subvolume='subvolume() { if [ -e "$1" ]; then mv "$1" before && btrfs -q subvolume create "$1" && cp -a before/. "$1" && rm -r before
	else btrfs -q subvolume create "$1"; fi; }; read_only() { subvolume "$1" && btrfs property set "$1" ro true; }'
export old=sessions/00000009-0123456789abcdef

# spoiled NAME COMMAND SCRIPT: a good upper on btrfs, spoiled by the command in its root; two boots, then the script.
spoiled() {
	disk btrfs 300M
	(cd "$tmp/mnt" && eval "$subvolume; $2") || echo "not ok - $1: $2"
	umount "$tmp/mnt"
	tap "$1: it boots" booted 'echo first >"$root/nix/store/first"'
	tap "$1:     and again" booted 'set -e
		cmp "$root/nix/store/$library/file" <(echo library)
		[ "$(cat "$root/nix/store/first")" = first ]
		cd "$root/nix/.rw"
		'"$3"
}

for dir in quarantine trash sessions; do
	export dir
	spoiled "$dir is a subvolume" "subvolume $dir" '[ -d "$dir.bad-1" ]; [ ! -e "$dir" ] || equal "$(stat -c %d "$dir")" "$(stat -c %d .)"'
	spoiled "$dir is read-only" "read_only $dir" '[ -d "$dir.bad-1" ]; [ ! -e "$dir" ] || equal "$(stat -c %d "$dir")" "$(stat -c %d .)"'
done
for dir in var var/nix var/nix/db; do
	export dir
	spoiled "$dir is read-only" "read_only $dir" 'touch $dir/x; [ ! -e var.bad-1 ]; [ ! -e $dir.bad-1 ]'
done
spoiled "quarantine holds a read-only one" 'mkdir quarantine; read_only quarantine/00000001-20260101T000000Z' '[ ! -L quarantine ]'
spoiled "what older Underlays left, where sessions is one" "mkdir -p store/own; echo own >store/own/file; read_only sessions" \
	'[ "$(cat kept/own/file)" = own ]; [ -d sessions.bad-1 ]'
spoiled "    and trash is one" "mkdir work; read_only trash" '[ ! -e work ]'
spoiled "    and its first session is one" "mkdir -p store/own; echo own >store/own/file; read_only sessions/00000000-0000000000000000" '[ "$(cat kept/own/file)" = own ]'
spoiled "a session is one" "mkdir -p $old/up/x; read_only $old" '[ ! -e kept/x ]; [ ! -e "$old" ]'
spoiled "a layer is one" "mkdir $old; subvolume $old/up; mkdir $old/up/x; btrfs property set $old/up ro true" '[ ! -e kept/x ]'
spoiled "an entry is one" "mkdir -p $old/up; subvolume $old/up/x; echo x >$old/up/x/file; btrfs property set $old/up/x ro true" \
	'[ "$(cat kept/x/file)" = x ]'
spoiled "an entry over a kept one" "mkdir -p $old/up kept/x/d; echo x >kept/x/d/file; subvolume $old/up/x; mkdir $old/up/x/d; echo y >$old/up/x/d/file; setfattr -n trusted.overlay.origin $old/up/x" \
	'[ "$(cat kept/x/d/file)" = x ]'
spoiled "a kept entry under one" "mkdir -p $old/up/x/d; subvolume kept/x; mkdir kept/x/d; echo x >kept/x/d/file; echo y >$old/up/x/d/file" \
	'[ "$(cat kept/x/d/file)" = x ]'

# ---- flags on files that are made anew -----------------------------------------------------------

disk xfs 400M
umount "$tmp/mnt"
tap "anew: a boot" booted true
mount "$disk" "$tmp/mnt"
(cd "$tmp/mnt" && echo {} >clean && chattr +i clean lower.json machine-id lock && chattr +a report.json)
umount "$tmp/mnt"
tap "anew: flags on the files" booted 'jq -e ".upper.guard == \"anew\"" "$run/state.json" && says_nothing find "$root/nix/.rw" -name "*.bad-*"'

# ---- room that is root's alone -------------------------------------------------------------------

disk ext4 200M -F -m 10 -b 4096
umount "$tmp/mnt"
policy+=("[database]" "mode = attach")
tap "reserve: it is made" booted '[ "$(stat -c %b "$root/nix/.rw/reserve")" -gt 8000 ]'
mount "$disk" "$tmp/mnt"
# Root fills it: what it keeps from others is the last to go.
while read -r free < <(stat -f -c %a "$tmp/mnt") && [ "$free" -gt 0 ]; do
	fallocate -o "$(stat -c %s "$tmp/mnt/var/fill" 2>/dev/null || echo 0)" -l $((free * 4096)) "$tmp/mnt/var/fill" || break
	sync -f "$tmp/mnt"
done
export size
size=$(stat -c %s "$tmp/mnt/reserve")
tap_is "reserve: users find nothing free, and root does" "$(stat -f -c '%a %f' "$tmp/mnt" | awk '{print ($1 < 100), ($2 > 2000)}')" "1 1"
umount "$tmp/mnt"
for n in 1 2 3; do
	tap "reserve: boot $n takes nothing of it" booted '[ "$(stat -c %s "$root/nix/.rw/reserve")" = "$size" ]'
done
tap_end
