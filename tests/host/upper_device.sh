#!/usr/bin/env bash
# The device of a persistent upper, as somebody may have made it: a filesystem without what an upper must have, part of
# an array, an ext4 whose structure lies; and what keeps such a disk's old contents out of the layer that a boot writes.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/namespace.sh
export TMPDIR=/dev/shm
. tests/lib/tap.sh
. tests/lib/stages.sh
PATH=$PATH:/usr/sbin:/sbin

make_tree "$tmp/good" || { echo "not ok - the lower is made" && exit 1; }
lower good
lower=$device
mkdir -p "$tmp/mnt"

# blank NAME SIZE [OPTION...]: an empty device, in $disk; its file is $tmp/NAME.disk.
blank() {
	rm -f "$tmp/$1.disk"
	truncate -s "$2" "$tmp/$1.disk"
	attach_device "$tmp/$1.disk" "${@:3}"
	disk=$device device=$lower
	export disk
}

# policy [LINE...]: [upper] for $disk, in the array $policy.
policy() {
	policy=("[upper]" "type = disk" "device = $disk" "timeout = 1s" "$@")
}

booted() {
	run "$1" "" "${policy[@]}"
}

# denied NAME SENTENCE [POLICY-LINE...]: the boot fails with that sentence, and not a byte of $disk is written.
denied() {
	local was
	policy "${@:3}"
	blockdev --flushbufs "$disk"
	was=$(sha256sum <"$disk")
	refused "$1" 27 "upper: [a-z ]*: /dev/loop[0-9p]+: $2" "" "${policy[@]}"
	blockdev --flushbufs "$disk"
	tap_is "    and not a byte of it is written" "$(sha256sum <"$disk")" "$was"
}

upper_is() {
	jq -e "[.upper.guard, .upper.filesystem] == [\"$1\", \"$2\"]" "$run/state.json"
}
export -f upper_is

# ---- what the filesystem must have ---------------------------------------------------------------

blank plain 64M && mkfs.ext4 -q -O ^metadata_csum "$disk"
denied "an ext4 without metadata_csum" 'its ext4 has no checksums of its metadata .metadata_csum.*tune2fs -O metadata_csum'
denied "    where guard = checked, too" 'its ext4 has no checksums' "guard = checked"
policy "on-missing = tmpfs"
tap "    a tmpfs where the policy says so" booted 'jq -e "(.upper.fallback | contains(\"metadata_csum\")) and (.upper | has(\"guard\") | not)" "$run/state.json"'
policy "guard = anew"
tap "    it is used where the policy says that, with a var made anew" booted 'upper_is anew ext4'
policy "guard = none"
tap "    or that nothing is wanted" booted 'upper_is none ext4'
e2fsck -fp "$disk" >/dev/null
tune2fs -O metadata_csum "$disk" >/dev/null 2>&1
policy
tap "    and what the sentence advises mends it" booted 'upper_is checked ext4'
blank made 64M && policy "prepare = format" "guard = checked"
tap "what is made here has it" booted 'upper_is new ext4'
tap "    and asks for it itself" bash -c 'dumpe2fs -h "$1" 2>/dev/null | grep -w metadata_csum' _ "$disk"
tap "    and is checked by the next boot" booted 'upper_is checked ext4'

blank casefold 64M && mkfs.ext4 -q -O casefold "$disk"
denied "an ext4 that folds case" 'its ext4 has the feature casefold.*tune2fs -O \^casefold'
blank journal 64M && mke2fs -q -F -O journal_dev "$disk"
journal=$disk
denied "a journal by itself" 'it holds jbd, and only the device that is made of it may be written'
blank external 64M && mkfs.ext4 -q -J "device=$journal" "$disk"
denied "an ext4 whose journal is elsewhere" 'its ext4 keeps its journal on another device'
denied "    whatever the guard" 'its ext4 keeps its journal on another device' "guard = none"
blank inode 64M && mkfs.ext4 -q "$disk" && debugfs -w -R "ssv journal_inum 0" "$disk" 2>/dev/null
denied "an ext4 whose journal has no inode" 'its ext4 keeps its journal on another device'
blank journal-dev 64M && mkfs.ext4 -q "$disk" && debugfs -w -R "ssv journal_dev 0x700" "$disk" 2>/dev/null
denied "an ext4 that names another device for it" 'its ext4 keeps its journal on another device'

# e2fsck starts from the superblock's copy, which says something else, and puts it in the place of the first.
blank copy 64M && mkfs.ext4 -q -b 1024 -O casefold "$disk"
printf '\000' | dd of="$disk" bs=1 seek=$((1024 + 0x62)) conv=notrunc,fsync status=none
policy
refused "what the superblock's copy says counts too, once it is in its place" 27 \
	'upper: preparing the upper: /dev/loop[0-9]+: its ext4 has the feature casefold' "" "${policy[@]}"

blank ci 400M && mkfs.xfs -q -n version=ci "$disk"
denied "an xfs that folds case" 'its xfs folds case' "filesystem = xfs"
blank ci4 400M && mkfs.xfs -q -m crc=0 -n version=ci "$disk" 2>/dev/null
denied "    in format 4" 'its xfs folds case' "filesystem = xfs"
blank log 64M
log=$disk
blank xfs-log 400M && mkfs.xfs -q -l "logdev=$log" "$disk"
denied "an xfs whose log is elsewhere" 'its xfs keeps its log on another device' "filesystem = xfs"

blank casefold-f2fs 128M && mkfs.f2fs -q -O casefold -C utf8 "$disk"
denied "an f2fs that folds case" 'its f2fs has the feature casefold' "filesystem = f2fs"
dd if=/dev/zero of="$disk" bs=1 seek=1024 count=2 conv=notrunc status=none
blank second 128M && mkfs.f2fs -q "$disk"
printf '\000\020' | dd of="$disk" bs=1 seek=$((5120 + 2180)) conv=notrunc status=none
denied "    by the second superblock" 'its f2fs has the feature casefold' "filesystem = f2fs"
blank devices 128M && mkfs.f2fs -q "$disk"
printf /dev/vda | dd of="$disk" bs=1 seek=$((1024 + 2201)) conv=notrunc status=none
denied "an f2fs that names other devices" 'its f2fs names other devices' "filesystem = f2fs"

blank two-a 200M
one=$disk
blank two-b 200M && mkfs.btrfs -q "$disk" "$one"
denied "a btrfs of two devices" 'its btrfs lies on several devices' "filesystem = btrfs"
blank seed 200M && mkfs.btrfs -q "$disk" && btrfstune -S 1 "$disk"
denied "a btrfs that is a seed" 'its btrfs is a seed' "filesystem = btrfs"

# ---- parts of something else ---------------------------------------------------------------------

# member NAME TYPE COMMAND: an ext4 of 60 MB on the first part of the device, to which the command adds a mark.
member() {
	blank "$1" 64M && mkfs.ext4 -q "$disk" 60M
	disk=$disk bash -c "$3" >"$tmp/member.log" 2>&1 || cat "$tmp/member.log"
	denied "$1" "it holds $2, and only the device that is made of it may be written"
}
member "md 1.0" linux_raid_member 'python3 tests/tools/raid_marks.py md-1.0 "$disk"'
member "md 0.90" linux_raid_member 'python3 tests/tools/raid_marks.py md-0.90 "$disk"'
member "md 1.1" linux_raid_member 'python3 tests/tools/raid_marks.py md-1.1 "$disk"'
member "Intel's array" isw_raid_member 'python3 tests/tools/raid_marks.py isw "$disk"'
member "DDF" ddf_raid_member 'python3 tests/tools/raid_marks.py ddf "$disk"'
member "a volume group" LVM2_member 'python3 tests/tools/raid_marks.py lvm "$disk"'
member "a cache" bcache 'python3 tests/tools/raid_marks.py bcache "$disk"'
member "swap" swap 'mkswap -f "$disk"'
denied "    with leave to format" 'it holds swap, and only the device that is made of it may be written' "prepare = format"
policy "on-missing = tmpfs"
tap "    a tmpfs where the policy says so" booted 'jq -e ".upper.fallback | contains(\"it holds swap\")" "$run/state.json"'
# An array of whole disks has its partition table within, and the kernel finds that on each half of a mirror.
# half NAME MIB MARK: a table on so much of a device of 192 MiB, an ext4 in its partition, and the mark at the very end.
half() {
	rm -f "$tmp/half.disk" "$tmp/half.array"
	truncate -s "$2M" "$tmp/half.array"
	printf 'label: gpt\nstart=2048, size=96M, type=linux, name=upper\n' | sfdisk -q "$tmp/half.array" && mkfs.ext4 -q -E offset=1048576 "$tmp/half.array" 96M &&
		cp --sparse=always "$tmp/half.array" "$tmp/half.disk" && truncate -s 192M "$tmp/half.disk" &&
		{ [ -z "$3" ] || python3 tests/tools/raid_marks.py "$3" "$tmp/half.disk"; } || report 1 "$1: made" /dev/null
	# By hand: not every kernel that tests run on parses a GPT.
	attach_device "$tmp/half.disk"
	addpart "$device" 1 2048 $((96 << 11)) || report 1 "$1: the partition's device is made" /dev/null
	disk=${device}p1 device=$lower
}
for mark in md-1.0 md-0.90 isw ddf; do
	half "half of a mirror of whole disks ($mark)" 190 $mark
	denied "half of a mirror of whole disks ($mark)" 'the disk that it lies on, /dev/loop[0-9]+, holds [a-z_]*_raid_member, and only the device that is made of it may be written'
done
half "no array" 190 ""
policy
tap "without the mark it is taken" booted 'upper_is checked ext4'
half "another life's mark" 100 md-1.0
policy
tap "a mark of another life, far behind the table that is there now, is nobody's" booted 'upper_is checked ext4'
half "a table's own disk" 192 md-0.90
tap_is "a mark before the table's end: blkid takes it for one" "$(blkid -p -o value -s TYPE "${disk%p1}")" linux_raid_member
policy
tap "    the boot does not: the table was made after it" booted 'upper_is checked ext4'
# Whoever may fill the disk could else keep the machine from its upper.
blank contents 64M && mkfs.ext4 -q "$disk" && python3 tests/tools/raid_marks.py md-1.0 "$disk"
tap_is "a mark in the place of a file's contents: blkid takes it for one" "$(blkid -p -o value -s TYPE "$disk")" linux_raid_member
policy
tap "    the boot does not" booted 'upper_is checked ext4'

# ---- the whole check -----------------------------------------------------------------------------

blank sound 64M && mkfs.ext4 -q "$disk"
policy
tap "ext4: a filesystem that calls itself clean is checked, whole, and the time is told" booted 'upper_is checked ext4 && jq -e ".upper.checkUs > 0 and (.upper | has(\"anewUs\") | not)" "$run/state.json"'
tap "    by underlay status, too" booted '"$underlay" status --file "$run/state.json" >"$run/status"; grep "^  guard    checked: " "$run/status" && grep "^  fsck     in [0-9.]* ms" "$run/status"'

# crafted KIND: an ext4 whose kept/ has an index that lies; the sealed name $library is in it.
crafted() {
	blank "$1" 64M && mkfs.ext4 -q -b 1024 -O ^metadata_csum -E hash_seed=01234567-89ab-cdef-0123-456789abcdef "$disk"
	mount "$disk" "$tmp/mnt" && mkdir -p "$tmp/mnt/kept/$library" || return
	for i in $(seq 300); do : >"$tmp/mnt/kept/$(printf '%032d' "$i")-fill"; done
	ls -U "$tmp/mnt/kept" | grep fill | tail -n +4 | sed "s|^|$tmp/mnt/kept/|" | xargs rm && umount "$tmp/mnt" &&
		python3 tests/tools/craft_ext4_index.py "$tmp/$1.disk" /kept "$library" "$1"
	blockdev --flushbufs "$disk"
}
listed='ls -A "$root/nix/.rw/kept" >"$run/kept"; echo end >>"$run/kept"'
for kind in hide bomb; do
	tap "$kind: made" crafted $kind
	policy "guard = none" "check = no"
	tap "$kind: what nobody checks stays hidden" booted "$listed; lacks -x \"\$library\" \"\$run/kept\""
	policy "guard = anew"
	tap "$kind: the whole check brings it to light" booted "$listed; grep -x \"\$library\" \"\$run/kept\" && jq -e '.upper.checkUs > 0' \"\$run/state.json\""
	tap "$kind:     and the sealed path is as it was" booted 'cmp "$root/nix/store/$library/file" <(echo library)'
done

# What the superblock asks for does not count: damage makes it read-only, and metadata is not given away.
blank options 64M && mkfs.ext4 -q "$disk" && tune2fs -e continue -E mount_opts=noblock_validity "$disk" >/dev/null
policy
tap "ext4: its own options weaken nothing" booted \
	'findmnt -no OPTIONS "$root/nix/.rw" | tr , "\n" | sort | tr "\n" " " | grep "^block_validity errors=remount-ro nodev nosuid .*rw "'

# ---- guard ---------------------------------------------------------------------------------------

blank guard 64M && mkfs.ext4 -q "$disk"
policy "check = no"
tap "guard: without a check var is made anew" booted 'upper_is anew ext4 && jq -e ".upper.anewUs > 0" "$run/state.json"'
tap "    says underlay status" booted '"$underlay" status --file "$run/state.json" | grep "^  guard    anew: /nix/var was made anew"'
blank xfs 400M && mkfs.xfs -q "$disk"
policy "filesystem = xfs ext4" "guard = checked"
refused "guard: checked, where there is no whole check" 27 'upper: checking the upper: /dev/loop[0-9]+: \[upper\] guard = checked wants a whole check, and there is no whole check of its xfs' "" "${policy[@]}"
policy "filesystem = xfs" "guard = checked"
refused "guard: checked, where none could ever be" 10 'policy: reading \[upper\] guard: .*guard = checked, but none of the filesystems' "" "${policy[@]}"
policy "check = no" "guard = checked"
refused "guard: checked, and no check" 10 'policy: reading \[upper\] guard: .*guard = checked, but check = no' "" "${policy[@]}"

# What is in var, but for what each boot makes: names, kinds, owners, modes, times, links, bytes.
export tell='(cd "$root/nix/var" && find . -path ./nix/gcroots/underlay -prune -o -path "./nix/db/*" -prune -o -type f -printf "%p f %U:%G %m %T@ %s " -exec sha256sum {} \; \
	-o -type l -printf "%p l %U:%G %l %T@\n" -o -type d -printf "%p d %U:%G %m\n" | sort)'
for fs in ext4 xfs btrfs; do
	blank "anew-$fs" 400M && "mkfs.$fs" -q "$disk"
	policy "filesystem = $fs" "guard = anew" "[database]" "mode = rebuild"
	tap "anew, $fs: a first boot" booted 'set -e
		mkdir -p "$root/nix/var/deep/er"
		chown 1000:100 "$root/nix/var/deep"
		chmod 2750 "$root/nix/var/deep"
		echo kept >"$root/nix/var/deep/er/file"
		chown 7:8 "$root/nix/var/deep/er/file"
		chmod 640 "$root/nix/var/deep/er/file"
		touch -d "2001-02-03 04:05:06.123456789" "$root/nix/var/deep/er/file" "$root/nix/var/deep/er"
		ln -s /nowhere "$root/nix/var/deep/link"
		touch -h -d 2002-03-04 "$root/nix/var/deep/link"
		chown -h 9:9 "$root/nix/var/deep/link"
		truncate -s 1G "$root/nix/var/deep/hole"
		printf end | dd of="$root/nix/var/deep/hole" bs=1 seek=500000000 conv=notrunc status=none
		setfattr -n user.mine -v yes "$root/nix/var/deep/er/file"
		mkfifo "$root/nix/var/deep/pipe"
		stat -c %i "$root/nix/var/deep/er/file" >"$root/nix/var/inode"
		eval "$tell" >"$root/nix/.rw/told"'
	tap "anew, $fs: all that was in var is there, in new inodes" booted 'set -e
		eval "$tell" >"$run/told"
		same "$run/told" "$root/nix/.rw/told"
		differ "$(stat -c %i "$root/nix/var/deep/er/file")" "$(cat "$root/nix/var/inode")"
		[ "$(getfattr --only-values -n user.mine "$root/nix/var/deep/er/file")" = yes ]
		[ "$(stat -c %b "$root/nix/var/deep/hole")" -lt 100000 ]
		[ ! -e "$root/nix/var/deep/pipe" ]
		[ ! -e "$root/nix/.rw/var.new" ]
		equal "$(stat -c %i "$root/nix/var")" "$(stat -c %i "$root/nix/.rw/var")"
		upper_is anew '$fs''
	tap "anew, $fs: the old ones go with the next boot" booted 'set -e
		[ "$(lines_of ls "$root/nix/.rw/trash")" -lt 8 ]
		find "$root/nix/.rw/trash" -name inode >"$run/old" && [ "$(wc -l <"$run/old")" = 1 ]'
done
# The top directory hands a project on, and what lies in it is of none.
blank project 400M && mkfs.xfs -q "$disk" && mount "$disk" "$tmp/mnt" && mkdir "$tmp/mnt/var" && echo kept >"$tmp/mnt/var/mine" &&
	xfs_io -r -c "chproj 5" -c "chattr +P" "$tmp/mnt" && umount "$tmp/mnt"
policy "filesystem = xfs" "guard = anew"
tap "anew: where the upper hands a project on" booted '[ "$(cat "$root/nix/var/mine")" = kept ] && upper_is anew xfs'
for beside in . kept; do
	blank older 400M && mkfs.xfs -q "$disk" && mount "$disk" "$tmp/mnt" && mkdir -p "$tmp/mnt/store/own" "$tmp/mnt/$beside" &&
		echo own >"$tmp/mnt/store/own/file" && xfs_io -r -c "chproj 5" -c "chattr +P" "$tmp/mnt" && umount "$tmp/mnt"
	policy "filesystem = xfs"
	tap "an older Underlay's store on one that does, beside $beside" booted '
		[ "$(cat "$root/nix/store/own/file")" = own ] && [ ! -e "$root/nix/.rw/store" ]'
done
blank cuts 64M && mkfs.ext4 -q "$disk"
policy "guard = anew"
tap "anew: a boot before the cuts" booted 'mkdir "$root/nix/var/mine"; for i in 1 2 3; do echo $i >"$root/nix/var/mine/$i"; done'
cuts=0
# strace counts each call for itself.
for call in renameat2 renameat syncfs fsync ftruncate mkdirat; do
	for ((n = 1; n < 60; n++)); do
		under="strace -qqq -o /dev/null -e trace=$call -e inject=$call:signal=KILL:when=$n"
		run true "" "${policy[@]}" >"$tmp/cut.log" 2>&1
		status=$?
		under=
		[ $status != 0 ] || break
		[ $status = 137 ] || { report 1 "cut at $call $n: it is killed" "$tmp/cut.log" && break; }
		cuts=$((cuts + 1))
		run 'equal "$(cat "$root"/nix/var/mine/*)" "$(printf "1\n2\n3")"' "" "${policy[@]}" >"$tmp/again.log" 2>&1 ||
			{ cat "$tmp/cut.log" && report 1 "cut at $call $n" "$tmp/again.log"; }
	done
done
under=
tap "anew: $cuts cuts, and var is whole after each" test "$cuts" -gt 25
blank full 64M && mkfs.ext4 -q "$disk"
policy "guard = anew"
tap "anew: a disk with half its room in the database's directory" booted 'head -c 35M /dev/urandom >"$root/nix/var/nix/db/big"'
refused "anew: no room for it twice, and it must be whole" 27 'reconcile: making /nix/var anew: big: No space left on device.*Make room' "" "${policy[@]}"
policy "guard = anew" "on-missing = tmpfs"
tap "    a tmpfs where the policy says so" booted 'jq -e ".upper.fallback | contains(\"anew\")" "$run/state.json" && mkdir "$root/nix/store/new"'
policy "guard = checked"
tap "    and nothing of it is lost, nor in the way" booted '[ "$(stat -c %s "$root/nix/var/nix/db/big")" = $((35 << 20)) ]'

# ---- a disk without inodes -----------------------------------------------------------------------

# A boot makes some files, and the kernel some behind it: whatever is left, the store takes something or it is said.
blank inodes 64M && mkfs.ext4 -q -N 600 "$disk"
policy "[database]" "mode = attach"
tap "few inodes: a first boot" booted 'mkdir "$root/nix/.rw/fill" && seq -f "$root/nix/.rw/fill/%g" 2000 | xargs touch 2>/dev/null; [ "$(stat -f -c %d "$root/nix/.rw")" = 0 ]'
writes=0 refusals=0 other=
for n in $(seq 0 24); do
	mount "$disk" "$tmp/mnt" && rm -rf "$tmp/mnt/trash" && ls "$tmp/mnt/fill" | head -n "$n" | sed "s|^|$tmp/mnt/fill/|" | xargs -r rm &&
		for i in $(seq 600); do : >"$tmp/mnt/fill/again-$n-$i" || break; done 2>/dev/null
	ls "$tmp/mnt/fill" | tail -n "$n" | sed "s|^|$tmp/mnt/fill/|" | xargs -r rm
	umount "$tmp/mnt"
	run 'touch "$root/nix/store/x" && echo it takes' "" "${policy[@]}" >"$tmp/few.log" 2>&1
	status=$?
	if [ $status = 0 ] && grep -qx "it takes" "$tmp/few.log"; then
		writes=$((writes + 1))
	elif [ $status != 0 ] && grep -q "^underlay: failure 2[0-9] (" "$tmp/few.log" && grep -q "No space left on device\|Make room on the upper" "$tmp/few.log"; then
		refusals=$((refusals + 1))
	else
		other="$other $n"
		sed "s/^/# $n: /" "$tmp/few.log"
	fi
done
echo "# $writes boots take something, $refusals are refused"
tap_none "few inodes: a store that takes nothing is not started" printf %s "$other"
tap "    some are refused, some are not" test "$writes" -gt 2 -a "$refusals" -gt 2

# ---- a database that writes the session's directory ----------------------------------------------

# hot SPARE GUARD-LINE...: a new ext4, on which 6600 pages of a database lie in blocks that are called free, and besides
# these SPARE MB are; then what a program that opens and closes the database leaves in the session's directory.
hot() {
	rm -f "$tmp/hot.disk"
	blank hot 96M && mkfs.ext4 -q -b 1024 -m 0 -O ^metadata_csum,^uninit_bg,^64bit,^flex_bg "$disk"
	mount "$disk" "$tmp/mnt" && mkdir "$tmp/mnt/var" &&
		pages=$(python3 tests/tools/craft_hot_wal.py "$tmp/mnt/var/hot.sqlite" "$library" 2 6600) || return
	# What ext4 keeps back for itself is room, too.
	echo 0 >"/sys/fs/ext4/${disk#/dev/}/reserved_clusters"
	head -c "$1M" /dev/zero >"$tmp/mnt/spare" && sync -f "$tmp/mnt"
	head -c 100M /dev/zero >"$tmp/mnt/filler" 2>/dev/null
	dd if=/dev/zero of="$tmp/mnt/rest" bs=1k status=none 2>/dev/null
	rm "$tmp/mnt/spare" && umount "$tmp/mnt"
	python3 tests/tools/craft_ext4_free.py "$tmp/hot.disk" /var/hot.sqlite <<<"$pages" | grep -x 6600 || return
	blockdev --flushbufs "$disk"
	policy "${@:2}" "[database]" "mode = attach"
	booted 'sync -f "$root/nix/.rw"
		inode=$(stat -c %i "$session")
		sqlite3 "$root/nix/var/hot.sqlite" "select count(*) from t" | grep -x 6600 || echo "not replayed"
		sync -f "$root/nix/.rw"
		debugfs -R "ls <$inode>" "$tmp/hot.disk" 2>&1; echo end'
}
export tmp library
hot 0 "guard = none" "check = no" >"$tmp/hot.said" 2>&1
tap "hot: without a guard the sealed name is written into the session" bash -c 'cat "$1"; grep -q "$library" "$1" && lacks "not replayed" "$1"' _ "$tmp/hot.said"
hot 0 "guard = anew" "check = no" >"$tmp/hot.said" 2>&1
tap "hot: anew: there is no room for it, so it is left out, and nobody writes it" bash -c 'cat "$1"; grep "left out of the new /nix/var: hot.sqlite: there is no room" "$1" && grep -x end "$1" && lacks "$library" "$1"' _ "$tmp/hot.said"
hot 30 "guard = anew" "check = no" >"$tmp/hot.said" 2>&1
tap "hot: anew: nor is it written where there is" bash -c 'cat "$1"; grep -x end "$1" && lacks "not replayed" "$1" && lacks "$library" "$1"' _ "$tmp/hot.said"
hot 0 "guard = anew" >"$tmp/hot.said" 2>&1
tap "hot: the whole check finds the pages" bash -c 'cat "$1"; grep "^underlay: upper: e2fsck repaired" "$1" && lacks "$library" "$1"' _ "$tmp/hot.said"
hot 30 "guard = anew" >"$tmp/hot.said" 2>&1
tap "    and nothing is written into the session" bash -c 'cat "$1"; grep -x end "$1" && lacks "$library" "$1"' _ "$tmp/hot.said"
tap_end
