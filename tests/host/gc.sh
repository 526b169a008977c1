#!/usr/bin/env bash
# `underlay gc` over a real overlay, on ext4: what goes from the kept layer and from the session's gives its space back
# at once, and nobody notices: open files, running programs, other mount namespaces, names that were looked up. Then its
# limits, a store that is mounted read-only, builders that name roots while it runs, an upper that nobody checked whole,
# of which nothing may be freed before the next boot, and a cut at every step.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/namespace.sh
. tests/lib/tap.sh
. tests/lib/layers.sh

underlay=${UNDERLAY:-$PWD/build/underlay} root=$tmp/root db=$tmp/root/nix/var/nix/db/db.sqlite
export NIX_CONFIG='build-users-group ='

# name TEXT: a store path's base name.
name() {
	printf '%s-%s' "$(printf %s "$1" | sha256sum | tr -dc 0-9a-d | head -c 32)" "$1"
}

# made NAME KIB: a directory of the store, through the overlay.
made() {
	mkdir -p "$view/$1/bin" && head -c "$2K" /dev/urandom >"$view/$1/data" && cp /bin/sleep "$view/$1/bin/" &&
		ln -s data "$view/$1/link" && chmod 555 "$view/$1" "$view/$1/bin"
}

# row NAME [REFERENCE...]: registered, a second later than the one before.
row() {
	clock=$((${clock:-1700000000} + 1))
	sqlite3 "$db" "pragma foreign_keys = on; insert into ValidPaths (path, hash, registrationTime, narSize) values ('/nix/store/$1', 'sha256:$(printf %064d 0)', $clock, 100)" &&
		for reference in "${@:2}"; do
			sqlite3 "$db" "insert into Refs select a.id, b.id from ValidPaths a, ValidPaths b where a.path = '/nix/store/$1' and b.path = '/nix/store/$reference'" || return
		done
}

rows() { sqlite3 "$db" 'select substr(path, 12) from ValidPaths' | sort; }

root() { ln -s "/nix/store/$1" "$root/nix/var/nix/gcroots/$1"; }

gc() { "$underlay" gc --root "$root" --file "$tmp/state.json" "$@"; }

# What a boot does, on the machine whose / is $root.
guard=checked # what it says of the upper's filesystem; empty: nothing
boot() {
	layers_boot >/dev/null && mount --bind "$view" "$root/nix/store" && mount --bind "$upper" "$root/nix/.rw" &&
		mount --bind "$upper/var" "$root/nix/var" || return
	jq -n --arg session "sessions/$(ls "$upper/sessions")" --arg guard "$guard" '{format: 1, database: {mode: "attach"},
		lowers: [{mount: "/nix/.ro", store: "store"}],
		upper: ({mount: "/nix/.rw", session: $session, persistent: true} + if $guard == "" then {} else {$guard} end)}' \
		>"$tmp/state.json"
}

down() {
	umount "$root/nix/var" "$root/nix/.rw" "$root/nix/store" && layers_down
}

# start NAME MIB: an upper with a database of Nix's.
start() {
	layers_upper "$1" ext4 "$2" -m 0 && mkdir -p "$upper"/var/nix/gcroots "$upper"/{kept,sessions} &&
		mkdir -p "$root"/nix/{store,.rw,var} && boot && nix-store --store "local?root=$root" --dump-db
}

# absent PATH...: each lookup says so.
absent() {
	for path in "$@"; do fails 2 'No such file' ls -d "$path" || return; done
}

free_kib() { df --output=avail -k "$upper" | tail -n 1; }

# intact FILE: the view has what was summed up there, and it is right.
intact() {
	(cd "$view" && sha256sum --quiet --check "$1")
}

layers_sealed lower erofs || { echo "not ok - the sealed image is made" && exit 1; }
mkdir -p "$root/nix/.ro"
mount --bind "$tmp/lower" "$root/nix/.ro"

# ---- what it is for ----

tap "an upper with a database" start upper 200
old=$(name old) live=$(name live) needed=$(name needed) copied=$(name copied) stray=$(name stray) linked=$(name linked) new=$(name new) running=$(name running)
stored() {
	made "$old" 30000 && made "$live" 100 && made "$needed" 100 && made "$copied" 100 && made "$stray" 5000 && made "$running" 100 &&
		ln "$view/$stray/data" "$view/$linked" &&
		row "$needed" && row "$live" "$needed" && row "$old" "$needed" && row "$copied" && row "$running" && root "$live"
}
tap "a first boot adds paths" stored
down
tap "a second boot finds them in the kept layer" boot
again() {
	made "$new" 2000 && row "$new" "$old" && chmod 755 "$view/$copied" && echo more >"$view/$copied/more" && chmod 555 "$view/$copied" &&
		test -d "$upper/kept/$old" && test -d "$upper/kept/$copied"
}
tap "and adds one, and changes one" again
(cd "$view" && sha256sum "$live"/* "$needed"/* 2>/dev/null) >"$tmp/alive.sums"

# Those who look at what goes. None of them names it as a process of the machine would: /proc has paths of $tmp.
"$view/$running/bin/sleep" 600 &
program=$!
unshare --mount --propagation private sleep 600 &
other=$!
(cd "$view/$copied" && exec sleep 600) &
inside=$!
sleep 0.3
exec 8<"$view/$old/data"
elsewhere() { nsenter --target "$other" --mount "$@"; }
tap "another mount namespace sees it" elsewhere test -f "$view/$old/data"
tap "names that are not there are looked up" absent "$view/$old/missing" "$view/$old.missing"
sum=$(sha256sum <"$view/$old/data")

tap "a dry run" gc --dry-run --json
gc --dry-run --json >"$tmp/dry.json"
tap_is "    tells each" "$(jq -r '.items[].name' "$tmp/dry.json" | sort)" \
	"$(printf '%s\n' "$old" "$copied" "$stray" "$linked" "$new" "$running" | sort)"
tap_is "    referrers first, then the oldest" "$(jq -r '.items[].name' "$tmp/dry.json")" \
	"$(printf '%s\n' "$stray" "$linked" | sort && printf '%s\n' "$copied" "$running" "$new" "$old")"
tap_is "    and which of them earlier boots left" "$(jq -r '.items[] | "\(.name) \(.kept)"' "$tmp/dry.json" | sort)" \
	"$({ printf '%s true\n' "$old" "$copied" "$stray" "$linked" "$running" && echo "$new false"; } | sort)"
tap "    and has changed nothing" bash -c 'test -d "$1/$2" && [ "$3" = 6 ]' _ "$view" "$stray" "$(rows | wc -l)"
before=$(free_kib)
tap "a collection" gc --json
tap_is "    rows: those that are alive" "$(rows)" "$(printf '%s\n' "$live" "$needed" | sort)"
tap_is "    the view: them and what is sealed" "$(ls "$view" | sort)" "$( (ls "$sealed" && printf '%s\n' "$live" "$needed") | sort)"
tap_is "    the kept layer: them" "$(ls "$upper/kept" | sort)" "$(printf '%s\n' "$live" "$needed" | sort)"
tap "    what is alive is whole" intact "$tmp/alive.sums"
tap "    an open file is what it was" bash -c '[ "$(sha256sum <&8)" = "$1" ]' _ "$sum"
tap "    a program runs on" kill -0 "$program"
tap "    a directory that somebody is in is gone, and he is not harmed" bash -c 'kill -0 "$1" && readlink "/proc/$1/cwd" | grep -q deleted' _ "$inside"
tap "    another mount namespace sees it no more" fails 2 'No such file' elsewhere ls -d "$view/$old"
tap "    7 MB are free, and the open file's 30 are not" bash -c '[ $(($1 - $2)) -ge 7000 ] && [ $(($1 - $2)) -lt 20000 ]' _ "$(free_kib)" "$before"
exec 8<&-
kill "$program" "$inside"
wait "$program" "$inside" 2>/dev/null
tap "    when it is closed, they are" bash -c '[ $(($1 - $2)) -ge 37000 ]' _ "$(free_kib)" "$before"
tap "a path can be made again" made "$old" 10
tap "    with nothing of what it was" bash -c '[ "$(stat -c %s "$1/data")" = 10240 ] && [ "$(ls "$1" | wc -l)" = 3 ]' _ "$view/$old"
tap "    nor what it never had" absent "$view/$old/missing"
tap "    and the other namespace sees that" elsewhere test -f "$view/$old/data"
row "$old"
root "$old"
(cd "$view" && sha256sum "$old"/data "$live"/* "$needed"/* 2>/dev/null) >"$tmp/alive.sums"
kill "$other"
wait "$other" 2>/dev/null
down
umount "$upper"
tap "the filesystem is sound" e2fsck -fn "$upper_image"
mount -o loop,nosuid,nodev "$upper_image" "$upper"
tap "a third boot" boot
tap "    sees what is alive" intact "$tmp/alive.sums"
tap_is "    and nothing else" "$(ls "$view" | sort)" "$( (ls "$sealed" && printf '%s\n' "$old" "$live" "$needed") | sort)"
tap "    what is sealed is as it was" "$attack" compare "$sealed" "$view"
down
umount "$upper"

# ---- limits ----

tap "limits: ten paths of 4 MB" start limits 100
ten() { for i in 0 1 2 3 4 5 6 7 8 9; do made "$(name "ten-$i")" 4000 && row "$(name "ten-$i")" || return; done; }
ten
gone() { jq -r '.items[].name' "$tmp/limits.json" | sed 's/^[^-]*-//' | paste -sd' '; }
gc --max-freed 0 --json >"$tmp/limits.json"
tap_is "    nothing where nothing may go" "$(jq -c '[.items[].name, .limited]' "$tmp/limits.json")" '[true]'
gc --max-freed 9M --json >"$tmp/limits.json"
tap_is "    9M: three, the oldest" "$(gone)" "ten-0 ten-1 ten-2"
gc --max-inodes 3 --json >"$tmp/limits.json"
tap_is "    3 inodes: one" "$(gone)" "ten-3"
gc --keep-free 1M --json >"$tmp/limits.json"
tap_is "    where enough is free, nothing" "$(jq -c '[.items[].name, .limited]' "$tmp/limits.json")" '[true]'
gc --keep-free $((($(free_kib) + 6000) * 1024)) --json >"$tmp/limits.json"
tap_is "    until enough is free: two" "$(gone)" "ten-4 ten-5"
gc --keep-free 1M --keep-free-inodes $(($(df --output=iavail "$upper" | tail -n 1) + 1)) --json >"$tmp/limits.json"
tap_is "    until enough inodes are free: one" "$(gone)" "ten-6"
tap "a size that is none is refused" fails 2 'is not a size' gc --max-freed 9X

# ---- a store that is mounted read-only, as NixOS has it ----

mount -o remount,bind,ro "$root/nix/store"
tap "a store that is read-only" fails 1 'Read-only' touch "$root/nix/store/x"
tap "    is collected all the same" gc --max-inodes 1
tap "    and stays so" fails 1 'Read-only' touch "$root/nix/store/x"
tap_is "    one more has gone" "$(rows | wc -l)" 2

# ---- builders ----

# They lock, ask and answer as Nix does; what each checks is in gc_builders.py.
tap "builders name roots while it runs" python3 tests/tools/gc_builders.py "$underlay" "$root" "$tmp/state.json" "$view"
tap "Nix adds paths while it runs" bash -c '
	for i in 1 2 3 4 5 6 7 8; do "$1" gc --root "$2" --file "$3" >/dev/null || exit 1; done &
	for i in 1 2 3 4 5 6 7 8 9 10; do
		echo "file $i" >"$4/file-$i"
		path=$(nix-store --store "local?root=$2" --add "$4/file-$i") || exit 1
	done
	wait $! && nix-store --store "local?root=$2" --verify' _ "$underlay" "$root" "$tmp/state.json" "$tmp"
down
umount "$upper"

# ---- an upper that nobody checked whole ----

# old: each file of the layers and the trash that an earlier boot made: inode, links, blocks, and what it holds.
old() {
	(cd "$upper" && find kept trash -printf '%i %n %b %m %p\n' | sort -k 5 && find kept trash -type f -exec sha256sum {} + | sort -k 2)
}
# unchecked NAME GUARD
unchecked() {
	guard=checked
	tap "$1: a first boot adds paths" start "$1" 60
	for path in one two three; do made "$(name "$1-$path")" 3000 && row "$(name "$1-$path")"; done
	root "$(name "$1-one")"
	down
	guard=$2
	mkdir -p "$upper/trash/7" && head -c 4000K /dev/urandom >"$upper/trash/7/file"
	tap "$1: the next boot says $2 of it" boot
	made "$(name "$1-new")" 2000 && row "$(name "$1-new")"
	chmod 755 "$view/$(name "$1-two")" && echo more >"$view/$(name "$1-two")/more"
	old >"$tmp/old.before"
	gc --json "${@:3}" >"$tmp/later.json"
	tap_is "    each goes" "$(jq -r '.items[].name' "$tmp/later.json" | sed 's/^[^-]*-//' | sort | xargs)" "$1-new $1-three $1-two"
	tap_is "    rows: those that are alive" "$(rows)" "$(name "$1-one")"
	tap_is "    the view: them and what is sealed" "$(ls "$view" | sort)" "$( (ls "$sealed" && name "$1-one" && echo) | sort)"
}
for word in anew "" odd; do
	unchecked "unchecked${word:+-}$word" "$word"
	tap "    what earlier boots left is what it was, inode by inode" bash -c 'diff "$1" - && [ -s "$1" ]' _ "$tmp/old.before" < <(old)
	tap "    that is told: 6 MB are left" jq -e '.later and .laterBytes > 6000000 and .laterBytes < 7000000 and .laterInodes == 10' "$tmp/later.json"
	tap "    what this boot made is free" bash -c 'says_nothing find "$1"/sessions/*/up -type f' _ "$upper"
	gc >"$tmp/said"
	tap "    a second run finds nothing" grep -q '^gone: 0 entries, 0.0 MB, 0 inodes; of 1 own paths 1 are alive$' "$tmp/said"
	tap "    and says it in one line" grep -qx '6\.[0-9] MB that earlier boots left, and the trash: space comes back at the next boot, as this upper was not checked whole' "$tmp/said"
	tap_is "    what comes back counts as free" "$(made "$(name later)" 1000 && row "$(name later)" && gc --keep-free $((($(free_kib) + 6000) * 1024)) --json | jq -c '[.items[].name, .limited]')" '[true]'
	tap "    without that it is collected" bash -c '[ "$("${@:2}" | jq -r ".items[].name")" = "$1" ]' _ "$(name later)" \
		"$underlay" gc --root "$root" --file "$tmp/state.json" --keep-free $((($(free_kib) + 7000) * 1024)) --json
	tap "    a path can be made again" bash -c '[ ! -e "$1" ]' _ "$view/$(name "unchecked${word:+-}$word-three")/data"
	down
	guard=checked
	tap "    the next boot" boot
	tap_is "    has freed what it can" "$(ls "$upper/kept")" "$(name "unchecked${word:+-}$word-one")"
	down
	umount "$upper"
	tap "    and the filesystem is sound" e2fsck -fn "$upper_image"
done
for word in checked new none; do
	unchecked "may-free-$word" "$word"
	tap "    nothing of what earlier boots left is kept for the next one" jq -e '(.later | not) and .laterBytes == 0' "$tmp/later.json"
	tap_is "    the kept layer" "$(ls "$upper/kept")" "$(name "may-free-$word-one")"
	tap "    the trash is empty" is_empty_dir "$upper/trash"
	down
	umount "$upper"
done
guard=checked

# ---- cuts ----

tap "cuts: an upper with garbage in both layers" start cuts 40
some() { made "$(name "some-$1")" 20 && row "$(name "some-$1")" ${2:+"$(name "some-$2")"}; }
some 1 && some 2 1 && some 3 2 && made "$(name stray-1)" 20 && root "$(name some-1)"
down
boot
some 4 3 && some 5 1 && made "$(name stray-2)" 20
take_lines paths rows || exit 1
(cd "$view" && for path in "${paths[@]}"; do sha256sum "$path/data" "$path/bin/sleep"; done) >"$tmp/cuts.sums"
down
umount "$upper"
cp "$upper_image" "$tmp/cuts.saved"

# whole: each row's path is what it was.
whole() {
	local path paths
	take_lines paths rows || return
	for path in "${paths[@]}"; do
		grep -F " $path/" "$tmp/cuts.sums" | (cd "$view" && sha256sum --quiet --check) || return
	done
	rows | grep -qx "$(name some-1)"
}
# The disk as a power cut leaves it: what the kernel had not written is lost.
cut_power() {
	cp "$upper_image" "$tmp/cut.img" && down && umount "$upper" && cp "$tmp/cut.img" "$upper_image" &&
		mount -o loop,nosuid,nodev "$upper_image" "$upper" && boot
}
cuts=0 bad=
for call in unlinkat pwrite64 fdatasync fsync fchmodat ftruncate; do
	for ((n = 1; n < 400; n += 3)); do
		cp "$tmp/cuts.saved" "$upper_image"
		mount -o loop,nosuid,nodev "$upper_image" "$upper" && boot || exit 1
		layers_cut $call $n "$underlay" gc --root "$root" --file "$tmp/state.json"
		cut=$?
		[ $cut != 2 ] || { bad+=" $call $n: not tried" && down && umount "$upper" && break; }
		cuts=$((cuts + !cut))
		whole >"$tmp/log" 2>&1 || { bad+=" $call $n: at once" && sed 's/^/# /' "$tmp/log"; }
		# Either the machine goes on, or its power is cut.
		if [ $((cuts % 2)) -eq 1 ]; then
			cut_power || bad+=" $call $n: boot"
			whole >"$tmp/log" 2>&1 || { bad+=" $call $n: afterwards" && sed 's/^/# /' "$tmp/log"; }
		fi
		gc >"$tmp/log" 2>&1 || { bad+=" $call $n: again" && sed 's/^/# /' "$tmp/log"; }
		equal "$(rows)" "$(name some-1)" && equal "$(ls "$upper/kept")" "$(name some-1)" && whole || bad+=" $call $n: at the end"
		down && umount "$upper"
		[ $cut = 0 ] || break
	done
done
tap_none "$cuts cuts, half of them of the power: no row without its files, and the next run ends it" printf %s "$bad"
tap "there were enough of them" test "$cuts" -gt 20
tap_end
