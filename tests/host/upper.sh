#!/usr/bin/env bash
# The persistent upper on loop devices: found, made, found again; foreign and damaged devices; a preparation that was
# cut at each of its writes; and layouts that somebody wrote while the machine was off.
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

# blank NAME SIZE [OPTION...]: an empty device, in $disk; its file is $tmp/NAME.disk.
blank() {
	rm -f "$tmp/$1.disk"
	truncate -s "$2" "$tmp/$1.disk"
	attach_device "$tmp/$1.disk" "${@:3}"
	disk=$device device=$lower
}

# policy [LINE...]: [upper] for $disk, in the array $policy.
policy() {
	policy=("[upper]" "type = disk" "device = $disk" "timeout = 1s" "$@")
}

booted() {
	run "$1" "" "${policy[@]}"
}

# held FILE COMMAND...: the file's bytes are the same after the command.
held() {
	local was
	was=$(sha256sum <"$1")
	"${@:2}"
	tap_is "    and not a byte of it is written" "$(sha256sum <"$1")" "$was"
}

is_upper='
	jq -e "[.upper.type, .upper.persistent, .upper.filesystem, .upper.device, .upper.fresh] ==
		[\"disk\", true, \"$fs\", \"$disk\", $fresh]" "$run/state.json"'

# ---- made, and found again -----------------------------------------------------------------------

for fs in ext4 xfs btrfs; do
	blank $fs 400M
	export fs disk fresh
	policy "filesystem = $fs" "prepare = format" "label = keeper"
	fresh=true
	tap "$fs: an empty device is formatted" booted "set -e
		$is_upper
		echo kept >\"\$root/nix/var/kept\""
	tap_is "$fs: it has the label" "$(blkid -p -o value -s LABEL -s TYPE "$disk" | tr '\n' ' ')" "keeper $fs "
	fresh=false
	tap "$fs: the next boot finds it" booted "set -e
		$is_upper
		[ \"\$(cat \"\$root/nix/var/kept\")\" = kept ]
		findmnt -no OPTIONS \"\$root/nix/.rw\" | grep -q '^rw,nosuid,nodev'
		findmnt -no OPTIONS \"\$root/nix/var\" | grep -q '^rw,nosuid,nodev'"
	policy "filesystem = $fs"
	tap "$fs: without leave to format too" booted "$is_upper"
	tap "$fs: a grown device is no reason to refuse" bash -c '
		truncate -s +64M "$1" && losetup -c "$2"' _ "$tmp/$fs.disk" "$disk"
	policy "filesystem = $fs" "prepare = format"
	tap "$fs:     nor to format" booted "[ -e \"\$root/nix/var/kept\" ] && $is_upper"
done
blank f2fs 100M
policy "filesystem = f2fs" "prepare = format"
refused "f2fs is made, but this kernel does not know it" 12 'upper: mounting the upper: f2fs' "" "${policy[@]}"
tap_is "f2fs: it is there" "$(blkid -p -o value -s LABEL -s TYPE "$disk" | tr '\n' ' ')" "nix-upper f2fs "
refused "f2fs: fsck finds nothing wrong, so mounting is tried again" 12 'upper: mounting the upper: f2fs' "" "${policy[@]}"

blank size 100M
policy "prepare = format" "size = 32M"
tap "the size of the policy" booted '[ "$(findmnt -bno SIZE "$root/nix/.rw")" -lt 33554433 ]'
policy "prepare = format" "size = 200M"
blank size 100M && policy "prepare = format" "size = 200M"
refused "a size that there is no room for" 27 'upper: .*209715200 bytes are wanted, it has room for 102760448' "" "${policy[@]}"
blank erased 100M
tr '\0' '\377' </dev/zero | head -c 100M >"$tmp/erased.disk"
policy "prepare = format"
tap "erased flash that reads as ones is empty" booted true
blank little 8M && policy "prepare = format"
refused "a device that is too small" 27 'upper: .*it has 8388608 bytes, an upper needs 16 MiB' "" "${policy[@]}"
blank little-xfs 64M && policy "prepare = format" "filesystem = xfs"
refused "a device that is too small for this filesystem: mkfs's own words" 27 'upper: preparing the upper: /dev/loop[0-9]+: mkfs.xfs: ' "" "${policy[@]}"

# ---- missing, foreign, damaged -------------------------------------------------------------------

policy
policy=("[upper]" "type = disk" "device = /dev/nowhere" "timeout = 1s")
refused "a device that is not there" 13 'upper: looking for the upper: /dev/nowhere: it did not appear in 1 s' "" "${policy[@]}"
policy+=("on-missing = tmpfs" "size = 1T")
tap "missing: a tmpfs where the policy says so, of its own size" booted 'set -e
	jq -e ".upper.type == \"tmpfs\" and .upper.persistent == false and (.upper.fallback | startswith(\"looking for the upper: /dev/nowhere: \"))" "$run/state.json"
	[ "$(findmnt -bno SIZE "$root/nix/.rw")" -lt 1000000000000 ]'
tap "    and by the exit status of underlay status" booted '
	"$underlay" status --file "$run/state.json" >"$run/status"
	[ $? = 1 ] && grep -q "^upper  *tmpfs, lost at the next boot" "$run/status" &&
		grep -q "^  INSTEAD  of the disk.s, because of looking for the upper: /dev/nowhere" "$run/status"'

blank empty 64M && policy
refused "an empty device, without leave to format" 27 'upper: .*it holds none of the filesystems' "" "${policy[@]}"

# foreign NAME SIZE SENTENCE COMMAND: what the command leaves on the device $disk is not formatted.
foreign() {
	local name=$1
	blank "$1" "$2"
	shift
	policy "prepare = format"
	disk=$disk tmp=$tmp bash -c "$3" >"$tmp/foreign.log" 2>&1 || cat "$tmp/foreign.log"
	blockdev --flushbufs "$disk"
	held "$tmp/$name.disk" refused "foreign: $name" 27 "upper: preparing the upper: /dev/loop[0-9]+: $2" "" "${policy[@]}"
}
foreign erofs 64M 'it holds erofs' 'mkfs.erofs "$disk" tests'
foreign luks 64M 'it holds crypto_LUKS' 'echo x | cryptsetup luksFormat --batch-mode --pbkdf-force-iterations 4 --pbkdf-memory 32 --pbkdf-parallel 1 "$disk"'
foreign table 64M 'it holds gpt partition table' 'echo ",,L" | sfdisk --label gpt "$disk"'
foreign swap 64M 'it holds swap' 'mkswap "$disk"'
foreign vfat 64M 'it holds vfat' 'mkfs.vfat "$disk" || printf "\353\074\220mkfs.fat\000\002\001\001\000\002\340\000\100\013\370\011\000\022\000\002\000" | dd of="$disk" && printf "FAT12   " | dd of="$disk" bs=1 seek=54 && printf "\125\252" | dd of="$disk" bs=1 seek=510'
foreign other-permitted 400M 'it holds xfs' 'mkfs.xfs -q "$disk"'
foreign text 64M 'its first MiB is not blank' 'echo "my notes" | dd of="$disk" bs=1 seek=70000'
foreign tail 64M 'its last MiB is not blank' 'echo "my notes" | dd of="$disk" bs=1 seek=$((63 * 1024 * 1024 + 70000))'
foreign two 400M 'it holds signatures of two kinds' 'mkfs.xfs -q "$disk" && dd if="$tmp/ext4.disk" of="$disk" bs=1024 skip=1 seek=1 count=1 conv=notrunc'
# A marker that our own, cut mkfs left, and somebody else's filesystem over it since.
foreign stale-marker 400M 'it holds xfs' 'mkfs.xfs -q -K "$disk"
	printf "underlay-upper\n\000\001\000\000\000ext4\000\000\000\000\000\000\000\000\000\000\000\000aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee" | dd of="$disk" bs=1 seek=$((399 * 1024 * 1024))'

truncate -s 64M "$tmp/ro.disk" && mkfs.ext4 -q "$tmp/ro.disk" && attach_device "$tmp/ro.disk" --read-only
disk=$device device=$lower
policy
refused "a read-only medium" 27 'upper: .*it cannot be written' "" "${policy[@]}"
blank used 64M && mkfs.ext4 -q "$disk"
policy
before="mkdir -p $tmp/elsewhere && mount $disk $tmp/elsewhere"
refused "a device that is in use" 27 'upper: .*it is in use' "" "${policy[@]}"
before=

blank dirty 64M && mkfs.ext4 -q "$disk" && debugfs -w -R "ssv free_blocks_count 77" "$disk" 2>/dev/null
policy
tap "what fsck repairs unasked is repaired" booted true
# torn NAME SIZE OPTION...: an ext4 that a boot has used, of whose superblock a cut let one sector be written.
torn() {
	blank "$1" "$2" && mkfs.ext4 -q "${@:3}" "$disk"
	policy
	run 'echo kept >"$root/nix/var/kept"' "" "${policy[@]}" >/dev/null 2>&1
	printf 'torn' | dd of="$disk" bs=1 seek=$((2048 - 4)) conv=notrunc,fsync status=none
}
is_repaired='[ "$(cat "$root/nix/var/kept")" = kept ]'
torn torn-1k 64M -b 1024
tap "a torn superblock: e2fsck starts from its copy" booted "$is_repaired"
tap "    and the next boot finds nothing wrong" bash -c 'e2fsck -fn "$1" >/dev/null' _ "$disk"
torn torn-4k 300M -b 4096
tap "    where the copy lies with blocks of 4096 bytes" booted "$is_repaired"
# Whole in itself, so that nothing but its name tells that it is another one's.
blank torn-other 64M && mkfs.ext4 -q -b 1024 "$disk"
dd if="$disk" of="$tmp/other-copy" bs=1024 skip=8193 count=1 status=none
torn torn-stale 64M -b 1024
dd if="$tmp/other-copy" of="$disk" bs=1024 seek=8193 conv=notrunc,fsync status=none
refused "    but not from that of another filesystem" 27 'upper: checking the upper: /dev/loop[0-9]+: e2fsck cannot repair it unasked .its status is 8' "" "${policy[@]}"
torn torn-small 16M -b 4096
refused "    where it has none, it is not guessed at" 27 'upper: checking the upper: /dev/loop[0-9]+: e2fsck cannot repair it unasked' "" "${policy[@]}"
blank damaged 64M && mkfs.ext4 -q "$disk"
dd if=/dev/urandom of="$tmp/damaged.disk" bs=4096 seek=1 count=600 conv=notrunc status=none
policy
refused "what it cannot repair" 27 'upper: checking the upper: /dev/loop[0-9]+: e2fsck cannot repair it unasked' "" "${policy[@]}"
policy "on-missing = tmpfs"
tap "damaged: a tmpfs where the policy says so" booted 'jq -e ".upper.fallback | contains(\"e2fsck\")" "$run/state.json"'
policy "check = no" "on-missing = tmpfs"
tap "unchecked: whatever mounting does, the boot ends well" booted true
blank damaged-xfs 400M && mkfs.xfs -q "$disk"
dd if=/dev/urandom of="$tmp/damaged-xfs.disk" bs=512 seek=1 count=8 conv=notrunc status=none
policy "filesystem = xfs"
refused "a damaged xfs" 27 'upper: mounting the upper: /dev/loop[0-9]+: the xfs on it is damaged' "" "${policy[@]}"
blank casefold 64M && mkfs.ext4 -q -O casefold "$disk"
policy
held "$tmp/casefold.disk" refused "an ext4 that overlayfs cannot use" 27 \
	'upper: preparing the upper: /dev/loop[0-9]+: its ext4 has the feature casefold.*tune2fs -O \^casefold' "" "${policy[@]}"
policy "on-missing = tmpfs" "prepare = format"
held "$tmp/casefold.disk" tap "casefold: a tmpfs where the policy says so" \
	booted 'jq -e ".upper.persistent == false and (.upper.fallback | contains(\"casefold\"))" "$run/state.json"'
tune2fs -O ^casefold "$disk" >/dev/null
policy
tap "casefold: what the sentence advises mends it" booted true
blank casefold-f2fs 128M && mkfs.f2fs -q -O casefold -C utf8 "$disk"
policy "filesystem = f2fs"
refused "an f2fs that overlayfs cannot use" 27 'upper: .*: its f2fs has the feature casefold' "" "${policy[@]}"

# What the kernel lacks is not told as damage. (A kernel that has the quotas' format is made to say that it has not.)
blank quota 64M && mkfs.ext4 -q -O quota "$disk"
policy
under="strace -f -qqq -o /dev/null -P $disk -e trace=fsconfig,mount -e inject=fsconfig,mount:error=ESRCH"
refused "an ext4 whose quotas the kernel cannot count" 12 \
	'upper: mounting the upper: /dev/loop[0-9]+: its ext4 counts quotas, .*with the module quota_v2, .*\^quota' "" "${policy[@]}"
under=
blank feature 64M && mkfs.ext4 -q "$disk"
debugfs -w -R 'feature FEATURE_I30' "$disk" >/dev/null 2>&1
policy "check = no"
refused "an ext4 with a feature of tomorrow: the kernel's own words" 27 \
	'upper: mounting the upper: /dev/loop[0-9]+: the kernel refuses its ext4: EXT4-fs \(loop[0-9]+\): .*unsupported .*features' "" "${policy[@]}"

# ---- by name -------------------------------------------------------------------------------------

mark=$$
blank named 64M && mkfs.ext4 -q -L "one-$mark" "$disk"
by=$disk
uuid=$(blkid -p -o value -s UUID "$disk")
policy=("[upper]" "type = disk" "device = LABEL=one-$mark" "timeout = 1s")
is_by='jq -e ".upper.device == \"$by\"" "$run/state.json"'
export by
tap "by its label" booted "$is_by"
policy[2]="device = UUID=${uuid^^}"
tap "by its UUID" booted "$is_by"
blank twin 64M && mkfs.ext4 -q -L "one-$mark" "$disk"
policy[2]="device = LABEL=one-$mark"
refused "two of a label" 27 "upper: .*LABEL=one-$mark: 2 devices have this name, /dev/loop[0-9]+ and /dev/loop[0-9]+ among them" "" "${policy[@]}"
blank parts 200M -P
sfdisk -q --label gpt "$disk" <<-END
	size=64M, type=8484680c-9521-48c6-9c11-b0720656f69e, name=image-$mark
	size=64M, type=4d21b016-b534-45c2-a9fb-5c16e091fd2d, name=upper-$mark, uuid=aaaaaaaa-0000-4000-8000-$(printf %012d $mark)
END
partprobe "$disk" 2>/dev/null || partx -u "$disk" 2>/dev/null
by=${disk}p2
for name in "PARTLABEL=upper-$mark" "PARTUUID=AAAAAAAA-0000-4000-8000-$(printf %012d $mark)"; do
	policy=("[upper]" "type = disk" "device = $name" "timeout = 1s" "prepare = format")
	tap "by ${name%%=*}" booted "$is_by"
done

# ---- cut while it is made ------------------------------------------------------------------------

# cut FS NAME STRACE-OPTION...: a first boot that is killed as strace is told, then one that must end well.
cut_at() {
	local status
	truncate -s 0 "$tmp/cut.disk" && truncate -s 400M "$tmp/cut.disk" && losetup -c "$disk" && blockdev --flushbufs "$disk"
	under="strace -qqq -o /dev/null ${*:2}"
	run true "" "${policy[@]}" >"$tmp/cut.log" 2>&1
	status=$?
	under=
	[ $status != 0 ] || return 1 # it came to its end: there are no more points
	cuts=$((cuts + 1))
	run 'jq -e ".upper.persistent" "$run/state.json"' "" "${policy[@]}" >"$tmp/again.log" 2>&1 && return 0
	sed 's/^/# /' "$tmp/cut.log"
	report 1 "$1: cut by $*" "$tmp/again.log"
}
blank cut 400M
fresh=true
for fs in ext4 xfs btrfs; do
	policy "filesystem = $fs" "prepare = format"
	cuts=0
	# mkfs at its writes (it counts for itself, as do we): each of them where CUT_EVERY is 1.
	for ((n = 1; n < 2000; n += ${CUT_EVERY:-7})); do
		cut_at $fs -f -e trace=pwrite64 -e "inject=pwrite64:signal=KILL:when=$n" || break
	done
	tap "$fs: $cuts cuts of mkfs, each followed by a boot that makes it again" test $cuts -gt 5
	cuts=0
	for ((n = 1; n < 100; n++)); do
		cut_at $fs -e trace=pwrite64,fsync -e "inject=pwrite64,fsync:signal=KILL:when=$n" || break
	done
	tap "$fs: $cuts cuts of ours" test $cuts -gt 5
done

# ---- layouts that somebody wrote -----------------------------------------------------------------

blank hostile 64M
mkdir -p "$tmp/mnt" "$tmp/victim"
# hostile NAME COMMAND SCRIPT [POLICY-LINE...]: the command spoils a good upper, in its root; then the boot, and the
# script.
hostile() {
	mkfs.ext4 -q -F "$disk"
	policy "${@:4}"
	run true "" "${policy[@]}" >/dev/null 2>&1
	mount "$disk" "$tmp/mnt"
	(cd "$tmp/mnt" && victim=$tmp/victim eval "$2")
	umount "$tmp/mnt"
	tap "hostile: $1" booted "set -e
		for d in kept sessions trash var var/nix var/nix/db; do
			[ -d \"\$root/nix/.rw/\$d\" ]
			[ ! -L \"\$root/nix/.rw/\$d\" ]
		done
		cmp \"\$root/nix/store/\$library/file\" <(echo library)
		[ \"\$(ls \"\$root/nix/.rw/sessions\" | wc -l)\" = 1 ]
		$3
		echo new >\"\$root/nix/store/new\""
	tap_none "    nothing elsewhere is touched" ls "$tmp/victim"
}
mended='jq -e ".upper.mended > 0" "$run/state.json"'
for dir in kept sessions trash; do
	export dir
	hostile "$dir is a symlink" "rm -r $dir; ln -s \"\$victim\" $dir" '[ -L "$root/nix/.rw/$dir.bad-1" ]'
	hostile "$dir is a pipe" "rm -r $dir; mkfifo $dir" '[ -p "$root/nix/.rw/$dir.bad-1" ]'
	hostile "$dir is a device" "rm -r $dir; mknod $dir c 1 3" '[ -c "$root/nix/.rw/$dir.bad-1" ]'
	hostile "$dir is a file" "rm -r $dir; echo x >$dir" '[ "$(cat "$root/nix/.rw/$dir.bad-1")" = x ]'
	[ $dir = trash ] || hostile "    and that is counted" "rm -r $dir; echo x >$dir" "$mended"
done
session=sessions/00000009-0123456789abcdef
hostile "kept holds links, pipes and a whiteout" 'ln -s "$victim" kept/x; mkfifo kept/p; mknod kept/stale c 0 0; mkdir -p kept/.links/evil' \
	'[ -L "$root/nix/store/x" ]; [ -p "$root/nix/store/p" ]; [ ! -e "$root/nix/store/stale" ]; is_empty_dir "$root/nix/store/.links"'
hostile "kept has something under each sealed name" 'mkdir kept/$library kept/$system kept/$other; echo evil | tee kept/$library/{file,more} kept/$system/init' \
	'[ "$(ls "$root/nix/store/$library")" = file ]; cmp "$root/nix/store/$other" <(echo other); [ "$(cat "$root/nix/.rw/kept/$library/more")" = evil ]'
hostile "a session that is a symlink" "ln -s \"\$victim\" $session" true
hostile "    or whose layer is" "mkdir $session; ln -s \"\$victim\" $session/up" true
hostile "    or that has neither layer nor work" "mkdir $session" true
hostile "what is no session" 'mkdir -p sessions/x/up sessions/00000001; echo x >sessions/x/up/x; ln -s "$victim" sessions/1; mkfifo sessions/2' '[ ! -e "$root/nix/store/x" ]'
hostile "a session of sealed names, links and a whiteout" "rm -r sessions/*; mkdir -p $session/up/\$library; echo evil >$session/up/\$library/file; mknod $session/up/\$other c 0 0
	ln -s \"\$victim\" $session/up/x; echo kept >kept/w; mknod $session/up/w c 0 0" '[ -L "$root/nix/store/x" ]; [ -f "$root/nix/store/$other" ]; [ ! -e "$root/nix/.rw/kept/w" ]'
hostile "trash holds a tree, links and pipes" 'mkdir -p trash/1/a/b trash/x; ln -s "$victim" trash/2; ln -s "$victim" trash/1/a/b/v; mkfifo trash/3' '[ -d "$root/nix/.rw/trash" ] && says_nothing find "$root/nix/.rw/trash" -path "*/x/*"'
hostile "trash holds a chain of 1900 directories" 'mkdir -p "trash/$(printf "d/%.0s" {1..1900})"' true
hostile "var is a symlink" 'mv var v; ln -s v var' "$mended"
hostile "var/nix is a symlink" 'mv var/nix var/x; ln -s "$victim" var/nix' "$mended"
hostile "var/nix/db is a symlink" 'rm -rf var/nix/db; ln -s "$victim" var/nix/db' "$mended"
hostile "the roots are a symlink" 'rm -rf var/nix/gcroots/underlay; ln -s "$victim" var/nix/gcroots/underlay' "$mended"
hostile "lock is a pipe" 'rm lock; mkfifo lock' '[ -f "$root/nix/.rw/lock" ]'
hostile "lock is a symlink" 'rm lock; ln -s "$victim/made" lock' '[ -f "$root/nix/.rw/lock" ]'
hostile "lock is a directory" 'rm lock; mkdir lock' '[ -f "$root/nix/.rw/lock" ]'
hostile "lock is a device" 'rm lock; mknod lock b 7 0' '[ -f "$root/nix/.rw/lock" ]'
hostile "layers are opaque" 'for d in kept sessions .; do setfattr -n trusted.overlay.opaque -v y $d; setfattr -n user.overlay.opaque -v y $d; done' \
	"$mended"'; getfattr -d -m overlay "$root/nix/.rw/kept" "$root/nix/.rw/sessions" "$session" >"$run/attributes"; echo "# end" >>"$run/attributes"; lacks opaque "$run/attributes"'
hostile "redirects and origins on the roots" 'for a in redirect origin metacopy impure nlink uuid; do setfattr -n trusted.overlay.$a -v x kept; setfattr -n trusted.overlay.$a -v x sessions; done' "$mended"
hostile "anybody's layers" 'chown 1000:1000 kept sessions trash .; chmod 0777 kept sessions trash .; chmod 0777 var' \
	'[ "$(cd "$root/nix" && stat -c "%a %u:%g" store .rw .rw/kept .rw/sessions .rw/trash var | tr "\n" " ")" = "1775 0:30000 700 0:0 700 0:0 700 0:0 700 0:0 755 0:0 " ]'
hostile "an access list that new files inherit" 'setfacl -d -m u:1000:rwx sessions .; chmod g+s sessions' 'echo new >"$root/nix/store/new"; [ "$(stat -c %a "$root/nix/store/new")" = 644 ]
	getfattr -m - "$session/new" >"$run/attributes"; echo "# end" >>"$run/attributes"; lacks acl "$run/attributes"'
hostile "immutable directories" 'mkdir kept/x; chattr +i kept/x kept var .; chattr +a sessions trash' true
hostile "the name of an older Underlay's probe" 'mkdir -p kept/.underlay-probe/x; ln -s "$victim/y" var/.underlay-probe' '[ -d "$root/nix/store/.underlay-probe/x" ]'
hostile "NAME.bad-1 is taken" 'rmdir kept; ln -s x kept; ln -s "$victim" kept.bad-1' '[ -L "$root/nix/.rw/kept.bad-2" ]'
mkfs.ext4 -q -F "$disk"
policy "[database]" "mode = attach"
tap "hostile: a full disk: it is filled" booted 'echo own >"$root/nix/store/own"
	head -c 100M /dev/zero >"$root/nix/var/full" 2>/dev/null; sync; [ -s "$root/nix/var/full" ]'
tap "    the next boot shows the store, and lets its owner tidy up" booted 'set -e
	cmp "$root/nix/store/$library/file" <(echo library)
	[ "$(cat "$root/nix/store/own")" = own ]
	rm "$root/nix/var/full"'
tap "    after which the store takes something again" booted 'echo new >"$root/nix/store/new"; [ "$(cat "$root/nix/store/new" "$root/nix/store/own" | tr "\n" " ")" = "new own " ]'

# full LEFT SCRIPT: $disk, laid out by a boot, then changed by the command in its root, filled to its last block but for
# what LEFT makes of the reserve.
full() {
	mkfs.ext4 -q -F "$disk"
	policy
	booted true >/dev/null 2>&1
	mount "$disk" "$tmp/mnt" || return
	(
		cd "$tmp/mnt" || exit
		eval "$2"
		rm -f reserve
		[ -z "$1" ] || fallocate -l "$1" reserve
		for size in 1M 4k 1k 512; do
			dd if=/dev/zero of=fill bs=$size oflag=append conv=notrunc 2>/dev/null
			sync -f .
		done
		fails 1 "No space left on device" mkdir full
	)
	local status=$?
	umount "$tmp/mnt"
	return $status
}
joined='[ "$(cat "$root/nix/store/own/file")" = own ]; echo more >"$root/nix/store/more"'
# What waits to be joined: kept entries of the same names go to the trash.
waiting='mkdir -p sessions/00000009-0123456789abcdef/up/own kept/own; echo own >sessions/00000009-0123456789abcdef/up/own/file'
for what in "older: trash and sessions are missing|rmdir kept; rm -r sessions trash; mkdir -p store/own; echo own >store/own/file" \
	"older: both store and kept|mkdir -p store/own; rm -r sessions; echo own >store/own/file" \
	"a session that is not joined|$waiting" "the directories are missing|mkdir kept/own; echo own >kept/own/file; rm -r sessions trash var lock"; do
	tap "full: ${what%%|*}: the disk is filled, but for the reserve" full 2M "${what#*|}"
	tap "full:     it boots, and gives a part of the reserve" booted "set -e; $joined"'
		[ ! -e "$root/nix/.rw/reserve" ] || [ "$(stat -c %s "$root/nix/.rw/reserve")" -lt 2000000 ]'
done
tap "full: older: without the reserve: it is filled" full "" 'rmdir kept; rm -r sessions trash; mkdir -p store/own'
refused "full:     the boot says what to do" 27 "upper: .*: /nix/.rw/trash: No space left on device\. Make room on the upper" "" "${policy[@]}"

# What an older Underlay left: store/, the overlay's upper directory, and work/.
older='rmdir kept; rm -r sessions trash; mkdir -p store/own work/work/a; echo own >store/own/file; ln -s "$victim" work/x'
is_own='[ "$(cat "$root/nix/store/own/file")" = own ]; [ "$(cat "$root/nix/.rw/kept/own/file")" = own ]; [ ! -e "$session/own" ]'
gone='[ ! -e "$root/nix/.rw/store" ]; [ ! -e "$root/nix/.rw/work" ]'
hostile "older: its store is kept, its work is thrown away" "$older" "$is_own; $gone"
hostile "older: what hid sealed paths does not" "$older"'; mkdir store/$library; echo evil >store/$library/file; mknod store/$other c 0 0' \
	"$is_own; $gone"'; [ -f "$root/nix/store/$other" ]; [ -d "$root/nix/.rw/kept/$library" ]'
hostile "older: attributes and flags on its store" "$older"'; setfattr -n trusted.overlay.opaque -v y store; chattr +i work/work; chattr +a work' "$is_own; $gone"
hostile "older: an empty one" "rmdir kept; rm -r sessions trash; mkdir store work" "$gone"
hostile "older: its store is a symlink" 'ln -s "$victim" store; mkdir work' "$gone"'; [ -L "$root/nix/.rw/store.bad-1" ]'
hostile "older: its store is a file" 'echo x >store' "$gone"'; [ "$(cat "$root/nix/.rw/store.bad-1")" = x ]'
hostile "older: its work is a symlink" 'ln -s "$victim" work' "$gone"
hostile "older: its work is a pipe, and holds nothing" 'mkfifo work' "$gone"
hostile "older: its work holds a chain of 1900 directories" 'mkdir -p "work/$(printf "d/%.0s" {1..1900})"' "$gone"
# It was started once more over an upper of a newer one.
hostile "older: both store and kept: what the store has is joined" 'mkdir -p kept/own kept/gone store/own work; echo older >kept/own/file; echo own >store/own/file; mknod store/gone c 0 0
	setfattr -n trusted.overlay.opaque -v y store/own; mkdir -p store/$library; echo evil >store/$library/file' "$is_own; $gone"'; [ ! -e "$root/nix/.rw/kept/gone" ]; [ ! -e "$root/nix/.rw/kept/$library" ]'
hostile "older: both, and what this boot cannot join is next" 'mkdir -p store/own kept/x; echo own >store/own/file; rm -r sessions; mkdir sessions; mkdir sessions/00000000-0000000000000000' "$is_own; $gone"

# Subvolumes: no rename leaves one, so the overlay could make nothing in the store.
blank subvolume 400M
# subvolume NAME: an upper that a boot has made, whose directory NAME is a subvolume since.
subvolume() {
	mkfs.btrfs -q -f "$disk" >/dev/null
	policy "filesystem = btrfs"
	run true "" "${policy[@]}" >/dev/null 2>&1
	mount "$disk" "$tmp/mnt"
	mv "$tmp/mnt/$1" "$tmp/mnt/before"
	btrfs -q subvolume create "$tmp/mnt/$1" && cp -a "$tmp/mnt/before/." "$tmp/mnt/$1"
	umount "$tmp/mnt"
}
for dir in sessions trash; do
	subvolume $dir
	tap "subvolume: one in the place of $dir is put aside" booted "$mended"'
		[ -d "$root/nix/.rw/$dir.bad-1" ] && mkdir "$root/nix/store/new"'
done
subvolume var
tap "subvolume: Nix's state may be one" booted '[ "$(jq .upper.mended "$run/state.json")" = 0 ] &&
	mkdir "$root/nix/store/new" "$root/nix/var/new"'
# Under guard = anew it is copied, and the old one goes: with snapshots in it, and in these places of subvolumes.
for dir in var var/nix var/nix/db; do
	subvolume $dir
	mount "$disk" "$tmp/mnt"
	mkdir -p "$tmp/mnt/$dir"/{a/b/c,snapshots/a/b} && echo mine | tee "$tmp/mnt/$dir"/a/{,b/,b/c/}file >/dev/null
	for n in 1 2; do btrfs -q subvolume snapshot -r "$tmp/mnt/$dir" "$tmp/mnt/$dir/snapshots/$n"; done
	btrfs -q subvolume create "$tmp/mnt/$dir/a/b/inner" && mkdir -p "$tmp/mnt/$dir/a/b/inner/x/y" && echo mine >"$tmp/mnt/$dir/a/b/inner/x/y/file"
	tap_is "subvolume: $dir is one, of which there are two snapshots, and one lies in it" "$(btrfs subvolume list "$tmp/mnt" | wc -l)" 4
	umount "$tmp/mnt"
	policy "filesystem = btrfs" "guard = anew"
	tap "subvolume: $dir: it is made anew, a directory" booted 'set -e
		jq -e ".upper.guard == \"anew\" and .upper.mended == 0 and (.upper | has(\"leftOut\") | not)" "$run/state.json"
		cd "$root/nix/.rw"
		[ "$(stat -c %d . var var/nix var/nix/db "$dir" "$dir/a/b/inner" | sort -u | wc -l)" = 1 ]
		[ "$(cat "$dir"/a/{,b/,b/c/}file "$dir/a/b/inner/x/y/file" "$dir"/snapshots/[12]/a/b/c/file | sort | uniq -c | xargs)" = "6 mine" ]
		[ "$(btrfs subvolume list . | grep -c " path trash/")" = 4 ]
		rm -r "$dir"/{a,snapshots}'
	tap "subvolume: $dir: the next boot has room again" booted 'set -e
		says_nothing btrfs subvolume list "$root/nix/.rw"
		[ -d "$root/nix/.rw/$dir" ]
		[ ! -e "$root/nix/.rw/$dir/a" ]
		mkdir "$root/nix/store/new"'
	tap "subvolume: $dir: and the one after it" booted '
		[ -d "$root/nix/store/new" ] && says_nothing find "$root/nix/.rw/trash" -name file'
done
policy "filesystem = btrfs"
subvolume kept
refused "subvolume: the kept layer may not" 27 \
	"upper: preparing the upper.s directories: /nix/.rw/kept: it is a subvolume, .* Make it a plain directory" "" "${policy[@]}"
mkfs.btrfs -q -f "$disk" >/dev/null
policy "filesystem = btrfs"
mount "$disk" "$tmp/mnt"
btrfs -q subvolume create "$tmp/mnt/store"
umount "$tmp/mnt"
refused "subvolume: nor may the store of an older Underlay" 27 \
	"upper: taking over the upper of an older Underlay: /nix/.rw/store: it is a subvolume, .* Make it a plain directory" "" "${policy[@]}"
mount "$disk" "$tmp/mnt"
btrfs -q subvolume delete "$tmp/mnt/store" && mkdir -p "$tmp/mnt/store/own" && btrfs -q subvolume create "$tmp/mnt/work"
umount "$tmp/mnt"
tap "subvolume: its work may" booted '[ -d "$root/nix/store/own" ] && [ ! -e "$root/nix/.rw/work" ]'
subvolume kept
policy "filesystem = btrfs" "on-missing = tmpfs"
tap "subvolume:     a tmpfs where the policy says so" booted 'set -e
	mkdir "$root/nix/store/new"
	jq -e ".upper.persistent == false and (.upper.fallback | contains(\"subvolume\"))" "$run/state.json"'

# ---- what only overlayfs finds out ---------------------------------------------------------------

blank unfit 64M && mkfs.ext4 -q "$disk"
under="strace -qqq -o /dev/null -P /nix/store -e trace=mount -e inject=mount:error=EINVAL:when=1"
for mode in attach rebuild; do
	policy "[database]" "mode = $mode"
	refused "unfit, $mode: the kernel lays no overlay over it" 29 \
		'overlay: mounting the overlay: .*: the kernel refuses it over the ext4 on /dev/loop[0-9]+: Invalid argument' "" "${policy[@]}"
	policy "on-missing = tmpfs" "[database]" "mode = $mode"
	tap "unfit, $mode: a tmpfs where the policy says so" booted 'set -e
		jq -e ".upper.persistent == false and (.upper.fallback | contains(\"the kernel refuses it\"))" "$run/state.json"
		cmp "$root/nix/store/$library/file" <(echo library)
		mkdir "$root/nix/store/new"
		[ "$(findmnt -no FSTYPE "$root/nix/var")" = tmpfs ]
		[ '"$mode"' = attach ] || sqlite3 "$root/nix/var/nix/db/db.sqlite" "select path from ValidPaths" | grep -q "$library"
		ls "$root/nix/var/nix/gcroots/underlay/lower0" >/dev/null'
done
under=

# ---- the system of the upper's profile -----------------------------------------------------------

# profile NAME COMMAND FROM WHY: the command makes the profile in var/nix/profiles of a boot's upper; the next boot.
profile() {
	mkfs.ext4 -q -F "$disk"
	policy
	tap "profile: $1: a first boot" booted "set -e; cd \"\$root/nix/var/nix/profiles\"; $2"
	policy "[system]" "from = profile"
	tap "profile: $1: the $3's system" booted "jq -e '.system.from == \"$3\" and (.system.why // \"\" | test(\"$4\"))' \"\$run/state.json\""
}
generation='ln -s system-1-link system; ln -s'
profile "of the sealed store" "$generation /nix/store/$system system-1-link" profile '^$'
profile "none" true image 'system: No such file'
profile "leads outside" "$generation /etc system-1-link" image 'neither a generation nor a store path'
profile "a path below a store path" "$generation /nix/store/$system/bin system-1-link" image 'neither a generation nor a store path'
profile "climbs" "$generation ../../../../etc system-1-link" image 'neither a generation nor a store path'
profile "a loop" 'ln -s system system' image 'more than 4 links'
profile "a file" 'echo x >system' image 'Invalid argument'
profile "no init in it" "$generation /nix/store/$library system-1-link" image 'init: No such file'
built=33333333333333333333333333333333-built
make_built='mkdir "$root/nix/store/'$built'"; printf "#!/bin/sh\n" >"$root/nix/store/'$built'/init"; chmod 555 "$root/nix/store/'$built'/init"'
profile "a path that is not valid" "$make_built; $generation /nix/store/$built system-1-link" image 'does not call it valid'
register='p="$root/nix/store/'$built'"; hash=$(nix-store --dump "$p" | sha256sum | cut -d " " -f 1); size=$(nix-store --dump "$p" | wc -c)
	sqlite3 "$root/nix/var/nix/db/db.sqlite" "insert into ValidPaths (path, hash, registrationTime, narSize) values (\"/nix/store/'$built'\", \"sha256:$hash\", 1, $size)"'
profile "built on the device" "$make_built; $register; $generation /nix/store/$built system-1-link" profile '^$'

# ---- remounting ----------------------------------------------------------------------------------

device=$lower
remounted='set -e
	store=$root/nix/store
	echo mine >"$store/$library/file"
	[ "$(cat "$store/$library/file")" = mine ]
	rm -rf "$session/$library"
	$remount "$store"
	[ "$(cat "$store/$library/file")" = library ]
	ls "$store" >/dev/null'
export remount
remount="$underlay remount"
tap "remount: a path of both layers that was deleted in the upper shows the lower's" run "$remounted"
remount="${underlay%/*}/underlay-remount"
tap "remount: by the hook's own program" run "$remounted"
tap "remount: a read-only bind over it stays read-only, and the overlay itself writable" run "set -e
	mount --bind \"\$root/nix/store\" \"\$root/nix/store\"
	mount -o remount,ro,bind \"\$root/nix/store\"
	\$remount \"\$root/nix/store\"
	findmnt -no OPTIONS \"\$root/nix/store\" | tail -n 1 | grep -q '^ro,nosuid,nodev'
	umount \"\$root/nix/store\" && touch \"\$root/nix/store/x\""
tap "remount: what is no overlay" run '$remount "$root/nix/.rw"; [ $? = 3 ]'
tap "remount: what is no mount point" run '$remount "$root/nix/store/$library"; [ $? = 3 ]'
tap_end
