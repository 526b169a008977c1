#!/usr/bin/env bash
# Somebody has the machine's disk while it is off, and writes to the upper. Whatever it is: the machine boots, and
# /nix/store has every sealed path as it was sealed. Each attack is made on a sealed path of its own where it can
# be, so that several share a boot; each is looked for by name in what the guest says and in the report. Each disk is
# booted twice: first the guest looks at the names that were prepared, before anything else has, compares all that is
# sealed, adds and removes 200 names, compares, drops the caches, compares; then it looks and compares again.
#
# ATTACKS=all (`make check-attacks`): every attack, on both kernels and with both kinds of database; else a sample, of
# which only a part is booted twice.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/namespace.sh
for lib in tap cache appliance qemu image upper attacks; do
	. "tests/lib/$lib.sh"
done
work=$qemu_dir/attacks
rm -rf "$work"
mkdir -p "$work"
image=$(image_appliance 2.26:1) && store=$(appliance_store 2.26:1) || { echo "not ok - the image is made" && exit 1; }
attacks_prepare && sealed_lists "$sealed" "$work" || exit 1

# ---- more attacks --------------------------------------------------------------------------------------

# Nix' own --optimise links a sealed file to what has its hash's name in .links, where there is such a name.
attack_links() {
	local file hash
	mkdir -p "$at/kept/.links" "$at/sessions/00000008-0123456789abcdef/up/.links" || return 1
	for file in "${files[@]:0:4}" "$hidden/lib/$(ls "$sealed/$hidden/lib" | head -n 1)"; do
		hash=$(in_tree -b "$store/nix:/nix" "$(cache_tree trixie)" nix-hash --type sha256 --base32 "/nix/store/$file") || return 1
		head -c "$(stat -c %s "$sealed/$file")" /dev/zero | tee "$at/kept/.links/$hash" \
			>"$at/sessions/00000008-0123456789abcdef/up/.links/$hash"
		chmod "$(stat -c %a "$sealed/$file")" "$at"/{kept,sessions/*/up}/.links/"$hash"
	done
}
attack_root-opaque() {
	setfattr -n trusted.overlay.opaque -v y "$at/kept"
	setfattr -n trusted.overlay.redirect -v /nowhere "$at/kept"
	setfattr -n user.overlay.opaque -v y "$at/kept"
}
attack_kept-symlink() {
	mv "$at/kept" "$at/elsewhere" && ln -s elsewhere "$at/kept"
	a_file "another file, behind a symlinked kept layer" && echo bad >"$at/elsewhere/$victim"
}
attack_names() {
	local name
	rm -rf "$at/trash" "$at/quarantine" "$at/sessions" && ln -s /etc "$at/work" && ln -s kept "$at/quarantine"
	ln -s kept "$at/trash" && ln -s . "$at/sessions"
	mv "$at/var" "$at/elsewhere" && ln -s elsewhere "$at/var"
	rm -f "$at"/{lower.json,report.json,clean}
	mkfifo "$at/lower.json" "$at/lock.json"
	mkdir "$at/report.json"
	ln -s /dev/vda "$at/clean"
	rm -f "$at/lock" && ln -s /dev/vda1 "$at/lock"
	a_file "another file, with the quarantine a symlink" && echo bad >"$at/kept/$victim"
}
# lower.json names the release that is booted, and is not what the database was made for.
attack_lying-lower() {
	local database=$at/var/nix/db
	rm -f "$database"/*
	cp "$(appliance_store 2.26:2)/nix/var/nix/db"/{db.sqlite,schema} "$database/"
	echo '{"format": 1, "maxId": 999999}' >"$at/clean"
}
attack_lying-database() {
	sqlite3 "$at/var/nix/db/db.sqlite" "update ValidPaths set hash = 'sha256:$(printf '%064d' 0)', narSize = 1;
		insert or ignore into ValidPaths (path, hash, registrationTime)
			values ('/nix/store/00000000000000000000000000000000-none', 'sha256:$(printf '%064d' 0)', 1);
		create trigger t after insert on ValidPaths begin delete from ValidPaths; end;" >/dev/null
	rm -f "$at"/var/nix/db/db.sqlite-*
}
attack_many() {
	mkdir -p "$at/quarantine/00000001-x" "$at/quarantine/99999999-x"
	(cd "$at/quarantine/00000001-x" && seq 3000 | xargs touch)
	echo one >"$at/kept/one"
	setfattr -n trusted.overlay.metacopy "$at/kept/one"
	(cd "$at/kept" && for ((i = 0; i < 1000; i++)); do ln one "link$i"; done)
	a_directory "a whole directory, beside a farm of hard links" && fill "$victim"
	a_file "one of the farm's links" && ln "$at/kept/one" "$at/kept/$victim"
}
# Every block, and no clean mark: the database is to be written anew, in the room that was kept for it.
attack_full() {
	a_directory "a whole directory, on a full disk" && fill "$victim"
	a_file "a whiteout, on a full disk" && mknod "$at/kept/$victim" c 0 0
	dd if=/dev/zero of="$at/kept/full" bs=1M status=none 2>/dev/null
	dd if=/dev/zero of="$at/kept/fuller" bs=512 status=none 2>/dev/null
	rm -f "$at/clean"
	sync -f "$at"
}
attack_full-to-the-last() {
	rm "$at/reserve" && attack_full
}

# As an older Underlay left it: the store above the sealed one.
attack_old-layout() {
	attack_entries && attack_origin && attack_system && mv "$at/kept" "$at/store" && rm -rf "$at/sessions" "$at/trash" && mkdir -p "$at/work/work/x"
}
# A session that nobody joined yet, with sealed names; and one that is not a session.
attack_sessions() {
	local up=$at/sessions/00000009-0123456789abcdef/up
	mkdir -p "$up" "$at/sessions/x/up"
	a_directory "a directory in a session" && mkdir -p "$up/$victim/lib" && echo bad >"$up/$victim/lib/bad.so"
	a_file "a file in a session" && echo bad >"$up/$victim"
	a_directory "a whiteout in a session" && mknod "$up/$victim" c 0 0
	a_file "a file in what is not a session" && echo bad >"$at/sessions/x/up/$victim"
	mkdir "$up/.links" && echo bad >"$up/.links/x"
}

# ---- filesystems that somebody made, bit by bit: $1 is the file of one -----------------------------

# An index that hides the name (hide), or will when the directory grows, as it does by the second boot (bomb).
craft_ext4() {
	mkfs.ext4 -q -b 1024 -O ^metadata_csum -E hash_seed=01234567-89ab-cdef-0123-456789abcdef "$1" 128M || return 1
	local i
	mount -o loop "$1" "$at" && mkdir -p "$at/kept/$hidden/lib" && echo bad >"$at/kept/$hidden/lib/bad.so" || return 1
	for i in $(seq 300); do : >"$at/kept/$(printf '%032d' "$i")-fill"; done
	ls -U "$at/kept" | grep fill | tail -n +4 | sed "s|^|$at/kept/|" | xargs rm && umount "$at" &&
		python3 tests/tools/craft_ext4_index.py "$1" /kept "$hidden" "$2"
}
craft_hide() {
	craft_ext4 "$1" hide
}
craft_bomb() {
	craft_ext4 "$1" bomb
}
# The name made last has the last of the directory's keys, which becomes another's.
craft_btrfs() {
	mkfs.btrfs -q -m single -d single "$1" && mount -o loop "$1" "$at" && mkdir "$at/kept" || return 1
	local i
	for i in $(seq 20); do : >"$at/kept/$(printf '%032d' "$i")-fill"; done
	mkdir -p "$at/kept/$hidden/lib" && echo bad >"$at/kept/$hidden/lib/bad.so" && umount "$at" || return 1
	python3 tests/tools/craft_btrfs_key.py "$1" "$hidden" && mount -o loop "$1" "$at" || return 1
	[ -e "$at/kept/$hidden/lib/bad.so" ] && ls -A "$at/kept" | lacks -x "$hidden"
	local made=$?
	umount "$at" && return $made
}
# Pages of a database lie in blocks that are called free: the next directories are made there, and the log that is to be
# written says what these hold.
craft_hot() {
	local pages loop
	mkfs.ext4 -q -b 1024 -m 0 -O ^metadata_csum,^uninit_bg,^64bit,^flex_bg "$1" 96M && mount -o loop "$1" "$at" &&
		mkdir "$at/var" && pages=$(python3 tests/tools/craft_hot_wal.py "$at/var/hot.sqlite" "$hot" 2 6600) || return 1
	loop=$(findmnt -no SOURCE "$at")
	echo 0 >"/sys/fs/ext4/${loop#/dev/}/reserved_clusters"
	head -c 40M /dev/zero >"$at/spare" && sync -f "$at"
	head -c 100M /dev/zero >"$at/filler" 2>/dev/null
	dd if=/dev/zero of="$at/rest" bs=1k status=none 2>/dev/null
	rm "$at/spare" && umount "$at" && python3 tests/tools/craft_ext4_free.py "$1" /var/hot.sqlite <<<"$pages" | grep -x 6600
}
# Another spelling of the sealed name, where the filesystem makes no difference.
craft_xfs() {
	local name=${hidden%%-*}-$(tr a-z A-Z <<<"${hidden#*-}")
	printf '%s\n' /nonexistent '0 0' 'd--755 0 0' 'kept d--755 0 0' "$name d--755 0 0" "bad.so ---644 0 0 $work/sealed" '$' '$' '$' >"$1.proto"
	mkfs.xfs -q -f -n version=ci -p "$1.proto" "$1"
}

# ---- the boots --------------------------------------------------------------------------------------

foreign_uuid=76543210-89ab-cdef-0123-456789abcdef
everything=$([ "${ATTACKS:-}" = all ] && echo yes)
kernels=(6.12 6.1)
# Another maker's image: no names in it, a UUID, and the system is not among what it registers.
make_foreign() {
	local tree=$work/foreign
	mkdir -p "$tree/nix" && cp -a --reflink=auto "$store/nix/store" "$tree/nix/" && rm -rf "$tree/nix/store/.links" || return 1
	awk -v gone="$(cat "$store/system")" '{n = 0; record = $0; path = $0
		for (i = 1; i < 5; i++) {getline; record = record "\n" $0; n = $0}
		for (i = 0; i < n; i++) {getline; record = record "\n" $0}
		if (path != gone) print record}' "$store/registration" >"$tree/nix-path-registration"
	grep -q . "$tree/nix-path-registration" || return 1
	mkfs.erofs --quiet -U "$foreign_uuid" -zlz4 "$work/foreign.erofs" "$tree" >"$work/foreign.log" 2>&1 &&
		veritysetup format "$work/foreign.erofs" "$work/foreign.tree" >>"$work/foreign.log" 2>&1 ||
		{ cat "$work/foreign.log" && return 1; }
	sed -n 's/^Root hash:[[:space:]]*//p' "$work/foreign.log" >"$work/foreign.hash"
	local size tree_size
	size=$(stat -c %s "$work/foreign.erofs") tree_size=$(stat -c %s "$work/foreign.tree")
	truncate -s $((size + tree_size + 8 * 1048576)) "$work/foreign.img"
	sfdisk -q -X gpt "$work/foreign.img" <<-END || return 1
		start=2048, size=$((size / 512)), type=8484680C-9521-48C6-9C11-B0720656F69E, name=foreign_1.0
		size=$(((tree_size + 511) / 512)), type=77FF5F63-E7B6-4633-ACF4-1565B864C0E6, name=foreign_1.0
	END
	local n=0 file
	for file in erofs tree; do
		n=$((n + 1))
		dd if="$work/foreign.$file" of="$work/foreign.img" bs=1M seek="$(image_partition "$work/foreign.img" $n | cut -d ' ' -f 1)" \
			oflag=seek_bytes conv=notrunc status=none || return 1
	done
	rm -rf "$tree" "$work/foreign.erofs" "$work/foreign.tree"
}
# All of them write or check the database at every boot; `tmpfs` rebuilds it, and may start without the disk's upper;
# `anew-MODE` does not check a disk, and takes it as it is; `mended-MODE` takes it too, and has it checked.
make_initrds() {
	local kernel=$1 mode=$2
	case $mode in
	tmpfs) image_config "$work/$mode-$kernel.conf" "${upper_lines[@]}" "on-missing = tmpfs" "[database]" "mode = rebuild" "check = always" ;;
	anew-*) image_config "$work/$mode-$kernel.conf" "${upper_lines[@]}" "on-missing = fail" "guard = anew" "check = no" \
		"filesystem = ext4 btrfs xfs" "[database]" "mode = ${mode#*-}" "check = always" ;;
	mended-*) image_config "$work/$mode-$kernel.conf" "${upper_lines[@]}" "on-missing = fail" "guard = anew" \
		"[database]" "mode = ${mode#*-}" "check = always" ;;
	foreign) image_config "$work/$mode-$kernel.conf" "${upper_lines[@]}" "on-missing = fail" \
		"[verify]" "mode = pinned" "root-hash = $(cat "$work/foreign.hash")" "descriptor = optional" \
		"[system]" "path = $(cat "$store/system")" "[database]" "check = always" ;;
	*) image_config "$work/$mode-$kernel.conf" "${upper_lines[@]}" "on-missing = fail" "[database]" "mode = $mode" "check = always" ;;
	esac
	image_initrd "$kernel" "$work/$mode-$kernel.conf" >"$work/$mode-$kernel.path" ||
		report 1 "$mode on $kernel: its initramfs is made" /dev/null
}
upper_lines=("[upper]" "type = disk" "device = PARTLABEL=upper" "prepare = format")
base=$(guest_disk attack-base lib attack-base) && attacked=$(guest_disk attacked "+$work/sealed" "+$work/sealed.names" "+$attack" \
	lib sealed attacked) || exit 1

# boot NAME KERNEL POLICY DISK GUEST [WHAT]
boot() {
	local initrd=$work/$3-$2.path booted=$image
	[ "$3" != foreign ] || booted=$work/foreign.img
	(
		flock 7
		[ -s "$initrd" ] || make_initrds "$2" "$3"
	) 7>"$initrd.lock"
	qemu_boot "$1" "$(cache_kernel "$2")" "$(cat "$initrd")" "appliance.scenario=disk attacked=${6:-}" 400 "$booted" "$4:rw" "$5"
}

# The upper that is attacked was prepared by a boot of its own.
prepare() {
	upper_disk "$work/$1.base" 128
	boot "attack-base-$1" 6.12 "$1" "$work/$1.base" "$base"
	guest_checks "attack-base-$1" disk
}

# tamper POLICY NAME...: these attacks on a copy of the prepared disk, $disk.
tamper() {
	local mode=$1 loop title
	shift
	cp --sparse=always "$work/$mode.base" "$disk"
	loop=$(losetup --find --show --offset $upper_offset --sizelimit "$(upper_size "$disk")" "$disk")
	mount "$loop" "$at" || return 1
	for title; do
		"attack_$title" || report 1 "$name: $title is made" /dev/null
	done
	umount "$at"
	losetup -d "$loop"
}

# craft NAME: a disk, $disk, with that filesystem.
craft() {
	local megabytes
	victims[$hidden]="a name that is hidden" victims[$hot]="a name in a database's log"
	rm -f "$disk.fs"
	truncate -s "$([ "$1" = xfs ] && echo 400 || echo 128)M" "$disk.fs"
	tap "$name: the filesystem is made" "craft_$1" "$disk.fs"
	megabytes=$(($(stat -c %s "$disk.fs") >> 20))
	upper_disk "$disk" $((megabytes + 2)) && dd if="$disk.fs" of="$disk" bs=1M seek=1 conv=notrunc,sparse status=none
	rm -f "$disk.fs"
}

# survives NAME KERNEL POLICY [WHAT]: the system starts, with everything that is sealed.
survives() {
	local name=$1
	boot "$name" "$2" "$3" "$disk" "$attacked" "${4:-}"
	guest_checks "$name" disk
	guest_block "$name" sealed-rows >"$work/$name.rows"
	for victim in "${!victims[@]}"; do
		tap "$name: ${victims[$victim]}: the sealed one is served" served "$name" "$victim"
	done
	[ "$3" = foreign ] || tap "$name: what Nix knows of every sealed path is what was sealed" same_rows "$name"
	# What the overlay never had beneath it says nothing of the seal.
	[[ $name != attack-entries-* ]] || tap "$name: the attacks lie beneath" test "$(guest_says "$name" beneath)" -ge 20 -a "$(guest_says "$name" aliases)" -ge 5
	guest_says "$name" optimised | sed "s/^/# $name: nix-store --optimise: /"
}

# twice KERNEL POLICY WHAT: WHAT is done in the first boot of the disk; in a sample, where it is nothing, that is all.
twice() {
	survives "$name" "$1" "$2" "$3"
	# Where nobody checked it, a directory that lies loses what is joined to it: nothing sealed.
	[ -z "$everything$3" ] || survives "$name-again" "$1" "$2" "$([[ $3 != *changed* || $2 == anew-* ]] || echo again)"
	rm -f "$disk"
}

# attack KERNEL POLICY WHAT NAME...: these attacks, and two boots.
attack() {
	local name=attack-$4-$2-$1 disk=$work/attack-$4-$2-$1.disk at=$work/$4-$2-$1.mnt
	mkdir -p "$at"
	if [ -n "$(type -t "craft_$4")" ]; then craft "$4"; else tamper "${2#anew-}" "${@:4}" || return 1; fi
	twice "$1" "$2" "$3"
}
# The same on another maker's image.
attack_foreign() {
	local name=attack-foreign-rebuild-$1 disk=$work/attack-foreign-$1.disk at=$work/foreign-$1.mnt uuid=$foreign_uuid
	mkdir -p "$at"
	tamper rebuild entries origin system sessions || return 1
	twice "$1" foreign changed
}

# refused KERNEL POLICY NAME SENTENCE: what cannot be used is not.
refused() {
	local name=attack-$3-$2-$1 disk=$work/attack-$3-$2-$1.disk at=$work/$3-$2-$1.mnt
	mkdir -p "$at"
	craft "$3"
	boot "$name" "$1" "$2" "$disk" "$attacked"
	tap "$name: says why" grep -q "$4" "$qemu_dir/$name.console"
	tap "$name: ends in failure 27" grep -qF 'underlay: failure 27 (bad-upper); rebooting' "$qemu_dir/$name.console"
	tap_is "$name: no system was started" "$(cat "$qemu_dir/$name.results" "$qemu_dir/$name.end")" reboot
	rm -f "$disk"
}

# The reserve is gone, too: where the policy says fail the boot does, and where it says tmpfs the same disk's machine
# starts.
attack_without_room() {
	local name=attack-full-to-the-last-rebuild-$1 disk=$work/attack-full-to-the-last-rebuild-$1.disk at=$work/full-to-the-last-$1.mnt
	mkdir -p "$at"
	tamper rebuild full-to-the-last || return 1
	boot "$name" "$1" rebuild "$disk" "$attacked"
	tap "$name, on-missing = fail: says what to do" \
		grep -q 'underlay: reconcile: .*No space left on device\. Make room on the upper\.' "$qemu_dir/$name.console"
	tap "$name, on-missing = fail: ends in failure 27" \
		grep -qF 'underlay: failure 27 (bad-upper); rebooting' "$qemu_dir/$name.console"
	tap_is "$name, on-missing = fail: no system was started" "$(cat "$qemu_dir/$name.results" "$qemu_dir/$name.end")" reboot
	name=attack-full-to-the-last-tmpfs-$1
	survives "$name" "$1" tmpfs
	tap "$name: state.json says why it is a tmpfs" \
		jq -e '(.upper.persistent | not) and (.upper.fallback | test("Make room"))' <(guest_block "$name" state)
	tap "$name: the log says so" grep -q 'underlay: upper: a tmpfs takes its place' "$qemu_dir/$name.console"
}

# In what the guest said nothing is wrong, differs or shadows of this name, and it said all of it.
served() {
	grep -q '^ok - every sealed file has its content' "$qemu_dir/$1.results" &&
		lacks "^say \(wrong\|differs\|shadows\) .*$2" "$qemu_dir/$1.results" &&
		grep -q '^begin upper' "$qemu_dir/$1.results"
}

# Records of a registration in one order, whatever the order of references in each.
# But for the path that the image has added, the collector's root.
records() {
	awk '{path = $0; getline hash; getline size; getline deriver; getline n; refs = ""
		delete ref; for (i = 0; i < n; i++) getline ref[i]
		for (i = 0; i < n; i++) {least = ""; for (j in ref) if (least == "" || ref[j] < ref[least]) least = j
			refs = refs " " ref[least]; delete ref[least]}
		if (path !~ /-underlay-roots$/) print path, hash, size, deriver, refs}' "$1" | sort
}
same_rows() {
	records "$store/registration" >"$work/$1.records" && records "$work/$1.rows" >"$work/$1.got" &&
		same "$work/$1.records" "$work/$1.got"
}

[ -z "$everything" ] || make_foreign || exit 1
tap_case prepare attach
tap_case prepare rebuild
tap_cases
[ ! -e "$tap_dir/failed" ] || tap_end
main=(entries origin system sessions links)
if [ -z "$everything" ]; then
	tap_case attack 6.12 attach changed,builder "${main[@]}"
	tap_case attack 6.1 rebuild changed "${main[@]}"
	for case in "attach old-layout" "rebuild root-opaque lying-database" "attach many" "rebuild names" \
		"attach lying-lower" "rebuild kept-symlink" "mended-attach hide"; do
		# shellcheck disable=SC2086 # several words
		set -- $case
		tap_case attack 6.12 "$1" "" "${@:2}"
	done
	tap_case attack 6.12 anew-rebuild changed bomb
	tap_case attack 6.12 rebuild "" full
	tap_case attack_without_room 6.12
	tap_case refused 6.12 anew-attach xfs 'underlay: upper: .*: its xfs folds case'
fi
[ -z "$everything" ] || for kernel in "${kernels[@]}"; do
	for mode in attach rebuild; do
		tap_case attack $kernel $mode changed,builder,optimise "${main[@]}"
		tap_case attack $kernel $mode changed many root-opaque lying-database
		tap_case attack $kernel $mode changed old-layout
		tap_case attack $kernel $mode changed names
		tap_case attack $kernel $mode changed lying-lower
		tap_case attack $kernel $mode changed kept-symlink
		tap_case attack $kernel $mode "" full
		for crafted in hide hot; do
			tap_case attack $kernel mended-$mode changed $crafted
			tap_case refused $kernel $mode $crafted 'has no checksums of its metadata (metadata_csum)'
		done
		# Not hot: its disk is full, and has no room for var twice and for Nix besides.
		for crafted in hide bomb btrfs; do
			tap_case attack $kernel anew-$mode changed $crafted
		done
		tap_case refused $kernel anew-$mode xfs 'underlay: upper: .*: its xfs folds case'
	done
	tap_case attack_foreign $kernel
	tap_case attack_without_room $kernel
done
tap_cases
tap_end
