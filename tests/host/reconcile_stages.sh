#!/usr/bin/env bash
# The boot's stages over a persistent upper whose image changes: what the log, state.json, `underlay status`, nix.conf
# and the collector's roots say, and which image is refused.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/namespace.sh
. tests/lib/tap.sh
. tests/lib/stages.sh

make_tree "$tmp/one" && cp -a "$tmp/one" "$tmp/two" || { echo "not ok - the lowers are made" && exit 1; }
# The second image lacks `other`, and has its list of roots.
rm "$tmp/two/nix/store/$other"
"$underlay" manifest create -o "$tmp/two/nix/.underlay/manifest" --registration <(
	record $system $system $library
	record $library
) >/dev/null
rm "$tmp"/two/nix/var/nix/db/*
"$underlay" db build "$tmp/two/nix/.underlay/manifest" -o "$tmp/two/nix/var/nix/db" >/dev/null
echo $system >"$tmp/two/nix/.underlay/roots"
lower one
one=$device
lower two
two=$device

own=33333333333333333333333333333333-own
export own underlay mode

# boot LOWER SCRIPT [POLICY-LINE...]
boot() {
	device=$1
	run "$2" "" "[upper]" "type = disk" "device = $disk" "prepare = format" "[database]" "mode = $mode" "${@:3}"
}

for mode in attach rebuild; do
	truncate -s 64M "$tmp/$mode.disk"
	attach_device "$tmp/$mode.disk"
	losetup -d "$device"
	disk=$(losetup --find --show "$tmp/$mode.disk")
	loops[-1]=$disk
	tap "$mode: image 1, a new upper: a path is added that refers to one of the image" boot "$one" '
		set -e
		jq -e ".reconcile.first and .reconcile.lowerChanged" "$run/state.json"
		grep -qx "sync-before-registering = true" "$run/nix.conf"
		[ "$(ls "$root/nix/var/nix/gcroots/underlay/lower0" | wc -l)" = 2 ]
		# What an older Underlay would have left for the collector.
		old=$root/nix/.rw/var/nix/gcroots/underlay
		is_empty_dir "$old"
		mkdir "$old/lower0" "$old/lower0.new"
		for i in {1..300}; do ln -s "/nix/store/$library" "$old/lower0/$i"; done
		echo own >"$root/nix/store/$own"
		db=$root/nix/var/nix/db; mkdir -p "$db"
		hash=$(printf "%064d" 5)
		[ -e "$db/db.sqlite" ] || cp "$root"/nix/.ro/nix/var/nix/db/{db.sqlite,schema} "$db/"
		sqlite3 "$db/db.sqlite" "insert into ValidPaths (path, hash, registrationTime) values (\"/nix/store/$own\", \"sha256:$hash\", 7);
			insert into Refs select a.id, b.id from ValidPaths a, ValidPaths b where a.path = \"/nix/store/$own\" and b.path = \"/nix/store/$other\""
		# Attached, a copy that nothing of the upper needs would go.
		[ "$mode" = rebuild ] || sqlite3 "$db/db.sqlite" "delete from Refs where referrer in (select id from ValidPaths where path = \"/nix/store/$system\");
			delete from ValidPaths where path in (\"/nix/store/$system\", \"/nix/store/$library\")"
		"$underlay" mark-clean --upper "$root/nix/.rw"'
	tap "$mode: image 1 again: nothing to do" boot "$one" '
		set -e
		jq -e ".reconcile.clean and (.reconcile.lowerChanged | not) and (.reconcile.counts | add) == 0 and .database.kept" "$run/state.json"
		[ "$(sqlite3 "$root/nix/var/nix/db/db.sqlite" "select count(*) from ValidPaths where path = \"/nix/store/$own\"")" = 1 ]
		# The last session is joined, and this one is new.
		jq -e ".upper.joined.sessions == 1 and .upper.joined.entries == 1 and .upper.joined.removed == 0" "$run/state.json"
		jq -e ".upper.session | test(\"^sessions/[0-9]{8}-[0-9a-f]{16}$\")" "$run/state.json"
		"$underlay" status --file "$run/state.json" | tee /dev/stderr | grep -qx "  joined   1 entry of 1 session; 0 older ones went"
		[ "$(cat "$root/nix/store/$own")" = own ]
		[ "$(cat "$root/nix/.rw/kept/$own")" = own ]
		is_empty_dir "$session"
		# What would hide the sealed library, and a path that somebody deletes in this session.
		"$underlay" mark-clean --upper "$root/nix/.rw"
		echo new >"$root/nix/store/deleted"
		mkdir -p "$root/nix/.rw/kept/$library"; echo evil >"$root/nix/.rw/kept/$library/file"'
	refuse() {
		boot "$two" true "[reconcile]" "vanished = refuse" >"$tmp/refused" 2>&1
		local status=$?
		cat "$tmp/refused"
		[ $status = 28 ] && grep -q "reconcile: .*$own: it refers to a path that this lower does not have" "$tmp/refused"
	}
	tap "$mode: image 2 is refused where the policy says so" refuse
	not_joined() {
		mkdir -p "$tmp/mnt" && mount -o ro "$disk" "$tmp/mnt" || return
		[ "$(ls "$tmp/mnt"/sessions/*/up)" = deleted ] && [ ! -e "$tmp/mnt/kept/deleted" ]
		local status=$?
		umount "$tmp/mnt" && return $status
	}
	tap "$mode:     and the last session lies as it was" not_joined
	tap "$mode: image 2: nothing hides the library, the path that lost its reference is not valid" boot "$two" '
		set -e
		cmp "$root/nix/store/$library/file" <(echo library)
		jq -e ".reconcile.counts.quarantined == 1 and .reconcile.counts.invalidated == 2" "$run/state.json"
		[ "$(sqlite3 "$root/nix/var/nix/db/db.sqlite" "select count(*) from ValidPaths where path = \"/nix/store/$own\"")" = 0 ]
		# What this image seals hides nothing, and is not lost. What only lost its row stays: another image
		# may give it one.
		[ ! -e "$root/nix/.rw/kept/$library" ]
		[ "$(cat "$root/nix/.rw/quarantine"/*/"$library/file")" = evil ]
		[ "$(cat "$root/nix/.rw/kept/$own")" = own ]
		[ "$(ls "$root/nix/var/nix/gcroots/underlay/lower0")" = "$system" ]
		is_empty_dir "$root/nix/.rw/var/nix/gcroots/underlay"
		says_nothing find "$root/nix/.rw/trash" -type l
		"$underlay" status --file "$run/state.json" | tee /dev/stderr | grep -q "^reconcile  another image, .*; 1 quarantined, 2 invalidated"
		"$underlay" status --file "$run/state.json" | grep -q "invalidated $own: it refers to a path that this lower does not have"
		jq -e "[.invalidated[].name] | contains([\"$own\"])" "$root/nix/.rw/report.json"
		# A collection, as the running system does it.
		db=$root/nix/var/nix/db/db.sqlite; [ ! -e "$db" ] || sqlite3 "$db" "insert into ValidPaths (path, hash, registrationTime) values (\"/nix/store/x\", \"\", 1);
			delete from ValidPaths where path = \"/nix/store/x\""
		"$underlay" mark-clean --upper "$root/nix/.rw"'
	tap "$mode: image 2 again: what no row names is swept" boot "$two" 'set -e
		jq -e ".reconcile.counts.swept == 2 and (.reconcile.counts.invalidated == 0)" "$run/state.json"
		"$underlay" status --file "$run/state.json" | grep -q "^reconcile  the same image, shut down cleanly; .*, 2 swept$"
		[ ! -e "$root/nix/store/$own" ]
		[ ! -e "$root/nix/store/deleted" ]
		is_empty_dir "$root/nix/.rw/kept"'
	# What was thrown away, and waits to be removed, fills the disk.
	tap "$mode: the trash is filled, and no room is kept" boot "$two" '
		rm -f "$root/nix/.rw/reserve" "$root/nix/.rw/lower.json"
		head -c 1G /dev/zero >"$root/nix/.rw/trash/fill" 2>/dev/null; sync; [ -s "$root/nix/.rw/trash/fill" ]'
	tap "$mode: the database is written in its place" boot "$two" '
		set -e
		jq -e ".upper.persistent and .reconcile.lowerChanged" "$run/state.json"
		[ ! -e "$root/nix/.rw/trash/fill" ]'
	# The last boot left room for the next database: builds fill the disk, and another image comes.
	fill='head -c 1G /dev/zero >"$root/nix/var/fill" 2>/dev/null; sync
		# What the last boot removed comes free with the journal, block by block.
		for i in 1 2 3; do
			while head -c 1k /dev/zero >>"$root/nix/var/fill"; do :; done 2>/dev/null
			sync
		done
		fails 1 "No space left on device" bash -c "echo more >\"\$root/nix/var/more\""'
	tap "$mode: the disk is filled" boot "$two" "$fill"
	tap "$mode: image 1 over a full disk: the database is written" boot "$one" '
		set -e
		jq -e ".upper.persistent and .reconcile.lowerChanged" "$run/state.json"
		[ "$(stat -f -c %a "$root/nix/.rw")" -lt 8192 ]'
	tap "$mode: without the room that was kept" boot "$one" 'rm -f "$root/nix/.rw/reserve" "$root/nix/.rw/lower.json"; for size in 63k 512; do dd if=/dev/zero of="$root/nix/var/fill$size" bs=$size oflag=append conv=notrunc 2>/dev/null; sync; done; true'
	no_room() {
		boot "$two" true "[database]" "check = always" >"$tmp/full" 2>&1
		local status=$?
		cat "$tmp/full"
		[ $mode = attach ] || { [ $status = 27 ] && grep -q "reconcile: .*No space left on device\. Make room on the upper" "$tmp/full"; }
	}
	tap "$mode: a full disk fails the boot where the policy says fail" no_room
	[ $mode = attach ] || tap "$mode: and starts with a tmpfs, loudly, where it says tmpfs" boot "$two" '
		set -e
		jq -e "(.upper.persistent | not) and (.upper.fallback | test(\"Make room\"))" "$run/state.json"
		fails 1 tmpfs "$underlay" status --file "$run/state.json"
		echo new >"$root/nix/store/new"
		[ "$(findmnt -no FSTYPE "$root/nix/.rw") $(findmnt -no FSTYPE "$root/nix/var")" = "tmpfs tmpfs" ]' "check = always" "[upper]" "on-missing = tmpfs"
done

# ---- by hand -------------------------------------------------------------------------------------

mode=attach
truncate -s 64M "$tmp/hand.disk"
attach_device "$tmp/hand.disk"
disk=$device
tap "status: who else may enter the upper is told, with exit status 1" boot "$one" '
	set -e
	mount -t tmpfs none /run
	mkdir /run/underlay
	jq ".upper.mount = \"$root/nix/.rw\"" "$run/state.json" >/run/underlay/state.json
	"$underlay" status >"$run/said"
	lacks EXPOSED "$run/said"
	for mode in 0710 0701 0704; do
		chmod $mode "$root/nix/.rw"
		fails 1 "^  EXPOSED  others than root may enter $root/nix/.rw: chown 0:0 and chmod 0700 it" "$underlay" status
		fails 1 "\"exposed\": *true" "$underlay" status --json
	done
	chmod 0700 "$root/nix/.rw"
	"$underlay" status >/dev/null
	chown 7 "$root/nix/.rw"
	fails 1 EXPOSED "$underlay" status
	# Of another machine'"'"'s nothing is asked.
	"$underlay" status --file "$run/state.json" >/dev/null'
tap "the upper is nodev and nosuid, and its layers are root's alone" boot "$one" '
	set -e
	findmnt -no OPTIONS "$root/nix/.rw" | grep -q "^rw,nosuid,nodev"
	[ "$(cd "$root/nix/.rw" && stat -c "%a %u:%g" . kept sessions trash | xargs)" = "700 0:0 700 0:0 700 0:0 700 0:0" ]
	stat -c %i "$root/nix/var" >"$root/nix/var/inode"
	mkdir -p "$root/nix/.rw/victim/profiles"
	rm -r "$root/nix/var/nix/profiles"
	ln -s ../../victim/profiles "$root/nix/var/nix/profiles"
	mv "$root/nix/.rw/kept" "$root/nix/.rw/victim/"
	ln -s victim/kept "$root/nix/.rw/kept"'
tap "a link in the place of a layer, or in var, is renamed away, and var stays where nobody wants it anew" boot "$one" '
	set -e
	[ "$(readlink "$root/nix/.rw/kept.bad-1")" = victim/kept ]
	[ ! -L "$root/nix/.rw/kept" ]
	[ "$(readlink "$root/nix/var/nix/profiles.bad-1")" = ../../victim/profiles ]
	[ ! -L "$root/nix/var/nix/profiles" ]
	equal "$(stat -c %i "$root/nix/var")" "$(cat "$root/nix/var/inode")"
	mkdir "$root/nix/.rw/kept/$library" && echo evil | tee "$root/nix/.rw/kept/$library/"{file,more} >"$root/nix/.rw/kept/$other"'
tap "over the same image: what somebody put beneath sealed names hides nothing" boot "$one" '
	set -e
	[ -e "$root/nix/.rw/kept/$library/more" ]
	cmp "$root/nix/store/$library/file" <(echo library)
	cmp "$root/nix/store/$other" <(echo other)
	[ "$(ls -A "$root/nix/store/$library")" = file ]'
tap "guard = anew: var is another than it was" boot "$one" '
	differ "$(stat -c %i "$root/nix/var")" "$(cat "$root/nix/var/inode")"' "[upper]" "guard = anew"
tap "db reconcile: it does not join, and tells of the session" boot "$one" '
	set -e
	echo own >"$root/nix/store/$own"
	umount "$root/nix/store"
	"$underlay" db reconcile --upper "$root/nix/.rw" --lower "$root/nix/.ro/nix/.underlay/manifest" >"$run/said"
	grep -qx "the next boot joins 1 session" "$run/said"
	[ -e "$session/$own" ]
	[ ! -e "$root/nix/.rw/kept/$own" ]'
older() {
	rm -rf "$tmp/older" && mkdir -p "$tmp/older"/{store,work,var/nix/db} && echo own >"$tmp/older/store/$own"
	"$underlay" db build "$tmp/one/nix/.underlay/manifest" -o "$tmp/older/var/nix/db" >/dev/null
	sqlite3 "$tmp/older/var/nix/db/db.sqlite" "insert into ValidPaths (path, hash, registrationTime) values ('/nix/store/$own', 'sha256:$(printf %064d 5)', 7)"
	echo '{"format": 1, "identity": "other", "database": "attach", "checkedId": 1000}' >"$tmp/older/lower.json"
}
by_hand() {
	"$underlay" db reconcile --upper "$tmp/older" --lower "$tmp/one/nix/.underlay/manifest" --mode rebuild "$@"
}
export -f fails
older
for option in --dry-run --refuse; do
	tap "db reconcile $option: not over what an older Underlay laid out" fails 3 \
		"older: an older Underlay laid it out, and it has to be laid out anew first. Boot it once, or leave --dry-run and --refuse out" \
		"$underlay" db reconcile --upper "$tmp/older" --lower "$tmp/one/nix/.underlay/manifest" $option
done
tap_is "    nothing is done to it" "$(ls "$tmp/older" | xargs)" "lock lower.json store var work"
tap "db reconcile: that is laid out anew, and no row is lost" by_hand
tap_is "    its store is kept" "$(cat "$tmp/older/kept/$own"), $(ls "$tmp/older" | grep -cE '^(store|work)$')" "own, 0"
tap_is "    its row is there" "$(sqlite3 "$tmp/older/var/nix/db/db.sqlite" "select count(*) from ValidPaths where path = '/nix/store/$own'")" 1
tap_end
