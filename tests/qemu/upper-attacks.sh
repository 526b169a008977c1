#!/usr/bin/env bash
# Somebody has the machine's disk while it is off, and writes to the upper. Whatever it is: the machine boots, and
# /nix/store has every sealed path as it was sealed. Each attack is made on a sealed path of its own where it can
# be, so that several share a boot; each is looked for by name in what the guest says and in the report.
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache appliance qemu image upper; do
	. "tests/lib/$lib.sh"
done
upper_namespace "$@"
work=$qemu_dir/attacks
kernel=6.12
rm -rf "$work"
mkdir -p "$work"
image=$(image_appliance 2.26:1) && store=$(appliance_store 2.26:1) || { echo "not ok - the image is made" && exit 1; }
sealed=$store/nix/store

# ---- what is sealed, from the image's source -------------------------------------------------------

(cd "$sealed" && find . -path ./.links -prune -o -type f -print0 | sort -z | xargs -0 sha256sum) >"$work/sealed"
(cd "$sealed" && find . -mindepth 1 -maxdepth 1 ! -name .links -print0 | sort -z) >"$work/sealed.names"
mapfile -t directories < <(cd "$sealed" && find . -mindepth 2 -maxdepth 2 -name lib -printf '%h\n' | sed 's|^\./||' | sort)
mapfile -t files < <(cd "$sealed" && find . -mindepth 1 -maxdepth 1 -type f -name '*.service' -printf '%P\n' | sort)

# ---- the attacks: each changes the upper's filesystem, mounted at $at ------------------------------

# Sealed names are used up one after the other; $victims tells which attack each is the victim of.
declare -A victims
victim=
a_directory() {
	victim=${directories[0]}
	directories=("${directories[@]:1}")
	victims[$victim]=$1
}
a_file() {
	victim=${files[0]}
	files=("${files[@]:1}")
	victims[$victim]=$1
}
fill() {
	mkdir -p "$at/kept/$1/lib" && echo bad >"$at/kept/$1/lib/bad.so"
}

attack_entries() {
	a_directory "a whole directory over a sealed name" && fill "$victim"
	a_directory "a single file under an opaque directory" && fill "$victim" &&
		setfattr -n trusted.overlay.opaque -v y "$at/kept/$victim"
	a_directory "a whiteout inside a directory that is merged" && mkdir -p "$at/kept/$victim" &&
		mknod "$at/kept/$victim/lib" c 0 0
	a_directory "a symlink in place of a path" && ln -s /tmp "$at/kept/$victim"
	a_directory "a symlink to another sealed path" && ln -s "/nix/store/${directories[0]}" "$at/kept/$victim"
	a_directory "a whiteout" && mknod "$at/kept/$victim" c 0 0
	a_file "a whiteout of a file" && mknod "$at/kept/$victim" c 0 0
	a_file "a whiteout by attribute" && : >"$at/kept/$victim" &&
		setfattr -n trusted.overlay.whiteout -v y "$at/kept/$victim" && setfattr -n trusted.overlay.opaque -v x "$at/kept"
	a_directory "trusted.overlay.redirect" && fill "$victim" &&
		setfattr -n trusted.overlay.redirect -v "/${directories[0]}" "$at/kept/$victim"
	a_directory "user.overlay.redirect" && fill "$victim" &&
		setfattr -n user.overlay.redirect -v "/${directories[0]}" "$at/kept/$victim"
	a_directory "user.overlay.opaque" && fill "$victim" && setfattr -n user.overlay.opaque -v y "$at/kept/$victim"
	a_file "trusted.overlay.metacopy" && : >"$at/kept/$victim" &&
		setfattr -n trusted.overlay.metacopy "$at/kept/$victim" &&
		setfattr -n trusted.overlay.redirect -v "/${files[0]}" "$at/kept/$victim"
	a_file "user.overlay.metacopy" && : >"$at/kept/$victim" && setfattr -n user.overlay.metacopy "$at/kept/$victim"
	a_file "another file" && echo bad >"$at/kept/$victim"
	a_file "a block device" && mknod "$at/kept/$victim" b 254 0
	a_file "a character device" && mknod "$at/kept/$victim" c 1 3
	a_file "a fifo" && mkfifo "$at/kept/$victim"
	a_file "a setuid file" && cp /bin/true "$at/kept/$victim" && chmod 6755 "$at/kept/$victim"
	a_file "a hard link to another entry" && echo bad >"$at/kept/linked" && ln "$at/kept/linked" "$at/kept/$victim"
	a_file "a file that may not be changed" && echo bad >"$at/kept/$victim" && chattr +i "$at/kept/$victim"
	a_directory "a directory that may not be changed" && fill "$victim" && chattr +i "$at/kept/$victim"
	# What has no sealed name may stay or go; it must not harm.
	mknod "$at/kept/00000000000000000000000000000000-disk" b 254 0
	cp /bin/true "$at/kept/00000000000000000000000000000000-setuid" &&
		chmod 6755 "$at/kept/00000000000000000000000000000000-setuid"
	mkdir "$at/kept/00000000000000000000000000000000-redirected" &&
		setfattr -n trusted.overlay.redirect -v /../../etc "$at/kept/00000000000000000000000000000000-redirected"
	local odd
	for odd in $'new\nline' $'\377\376' $'\e[2Jescape' -rf '...' ' ' '*' '"' "${files[0]}"$'\n' "./${files[0]} " \
		"$(printf 'x%.0s' {1..255})"; do
		echo bad >"$at/kept/${odd#./}"
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
	attack_entries && mv "$at/kept" "$at/store" && rm -rf "$at/sessions" "$at/trash" && mkdir -p "$at/work/work/x"
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

# ---- the boots --------------------------------------------------------------------------------------

declare -A initrd_of
# All of them write or check the database at every boot; `tmpfs` rebuilds it, and may start without the disk's upper.
for mode in attach rebuild tmpfs; do
	image_config "$work/$mode.conf" "[upper]" "type = disk" "device = PARTLABEL=upper" "prepare = format" \
		"on-missing = $([ $mode = tmpfs ] && echo tmpfs || echo fail)" \
		"[database]" "mode = ${mode/tmpfs/rebuild}" "check = always"
	initrd_of[$mode]=$(image_initrd $kernel "$work/$mode.conf") || exit 1
done
base=$(guest_disk attack-base lib attack-base) && attacked=$(guest_disk attacked "+$work/sealed" "+$work/sealed.names" \
	lib sealed attacked) || exit 1

boot() {
	qemu_boot "$1" "$(cache_kernel $kernel)" "${initrd_of[$2]}" "appliance.scenario=disk" 300 "$image" "$3:rw" "$4"
}

# The upper that is attacked was prepared by a boot of its own.
prepare() {
	upper_disk "$work/$1.base" 64
	boot "attack-base-$1" "$1" "$work/$1.base" "$base"
	guest_checks "attack-base-$1" disk
}

# tamper MODE NAME...: these attacks on a copy of the prepared disk, $work/attack-NAME-MODE.disk by the first name.
tamper() {
	local mode=$1 name=attack-$2-$1 at=$work/$2-$1.mnt loop title
	shift
	cp --sparse=always "$work/$mode.base" "$work/$name.disk"
	mkdir -p "$at"
	loop=$(losetup --find --show --offset $upper_offset --sizelimit "$(upper_size "$work/$name.disk")" "$work/$name.disk")
	mount "$loop" "$at" || return 1
	for title; do
		"attack_$title" || { echo "not ok - $name: $title is made" && touch "$tap_dir/failed"; }
	done
	umount "$at"
	losetup -d "$loop"
}

# survives MODE NAME DISK: the system starts, with everything that is sealed.
survives() {
	local name=$2
	boot "$name" "$1" "$3" "$attacked"
	guest_checks "$name" disk
	guest_block "$name" report >"$work/$name.report"
	guest_block "$name" sealed-rows >"$work/$name.rows"
	for victim in "${!victims[@]}"; do
		tap "$name: ${victims[$victim]}: the sealed one is served" served "$name" "$victim"
	done
	tap "$name: what Nix knows of every sealed path is what was sealed" same_rows "$name"
}

# attack MODE NAME...: these attacks, and one boot.
attack() {
	local name=attack-$2-$1
	tamper "$@" || return 1
	survives "$1" "$name" "$work/$name.disk"
}

# The reserve is gone, too: where the policy says fail the boot does, and where it says tmpfs the same disk's machine
# starts.
attack_without_room() {
	local name=attack-full-to-the-last-rebuild
	tamper rebuild full-to-the-last || return 1
	boot "$name" rebuild "$work/$name.disk" "$attacked"
	tap "$name, on-missing = fail: says what to do" \
		grep -q 'underlay: reconcile: .*No space left on device\. Make room on the upper\.' "$qemu_dir/$name.console"
	tap "$name, on-missing = fail: ends in failure 27" \
		grep -qF 'underlay: failure 27 (bad-upper); rebooting' "$qemu_dir/$name.console"
	tap_is "$name, on-missing = fail: no system was started" "$(cat "$qemu_dir/$name.results" "$qemu_dir/$name.end")" reboot
	name=attack-full-to-the-last-tmpfs
	survives tmpfs "$name" "$work/attack-full-to-the-last-rebuild.disk"
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
records() {
	awk '{path = $0; getline hash; getline size; getline deriver; getline n; refs = ""
		delete ref; for (i = 0; i < n; i++) getline ref[i]
		for (i = 0; i < n; i++) {least = ""; for (j in ref) if (least == "" || ref[j] < ref[least]) least = j
			refs = refs " " ref[least]; delete ref[least]}
		print path, hash, size, deriver, refs}' "$1" | sort
}
same_rows() {
	records "$store/registration" >"$work/$1.records" && records "$work/$1.rows" >"$work/$1.got" &&
		same "$work/$1.records" "$work/$1.got"
}

tap_case prepare attach
tap_case prepare rebuild
tap_cases
for mode in attach rebuild; do
	tap_case attack $mode entries
	tap_case attack $mode root-opaque lying-database
	tap_case attack $mode old-layout
	tap_case attack $mode sessions
done
tap_case attack attach many
tap_case attack rebuild full
tap_case attack_without_room
tap_case attack attach names
tap_case attack attach lying-lower
tap_case attack rebuild lying-lower
tap_case attack rebuild names
tap_case attack attach kept-symlink
tap_cases
tap_end
