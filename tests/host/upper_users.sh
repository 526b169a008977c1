#!/usr/bin/env bash
# What users and builders of the running system leave on the upper, however deep, many or large: the next boots come to
# their end, nothing that was built is lost, and what is left out is said. With as few open files as the kernel gives
# PID 1. Then the order of what a boot writes.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/namespace.sh
export TMPDIR=/dev/shm
. tests/lib/tap.sh
. tests/lib/stages.sh
PATH=$PATH:/usr/sbin:/sbin

make_tree "$tmp/good" || { echo "not ok - the lower is made" && exit 1; }
chmod 1777 "$tmp/good/nix/store"
lower good
lower=$device
files="prlimit --nofile=1024:4096"

# blank NAME SIZE FILESYSTEM [LINE...]: a new filesystem in $disk, and the policy that has it as the upper.
blank() {
	truncate -s "$2" "$tmp/$1.disk"
	attach_device "$tmp/$1.disk"
	disk=$device device=$lower
	"mkfs.$3" -q "$disk"
	policy=("[upper]" "type = disk" "device = $disk" "timeout = 1s" "filesystem = $3" "${@:4}" "[database]" "mode = $mode")
}

booted() {
	under=$files
	run "$1" "" "${policy[@]}"
	local status=$?
	under=
	return $status
}

# deep DIRECTORY DEPTH COMMAND: that many directories `d` in each other, made where they are not; at the bottom, the
# command. No path is as long.
deep() {
	python3 - "$@" <<-'END'
		import os, subprocess, sys
		os.makedirs(sys.argv[1], exist_ok=True)
		os.chdir(sys.argv[1])
		for _ in range(int(sys.argv[2])):
		    if not os.path.isdir("d"):
		        os.mkdir("d")
		    os.chdir("d")
		sys.exit(subprocess.call(["/bin/sh", "-c", sys.argv[3]]))
	END
}
own=33333333333333333333333333333333-own
# A path that Nix calls valid, and its files.
build() {
	local db=$root/nix/var/nix/db
	echo own >"$root/nix/store/$own" && mkdir -p "$db" || return
	[ -e "$db/db.sqlite" ] || cp "$root"/nix/.ro/nix/var/nix/db/{db.sqlite,schema} "$db/"
	sqlite3 "$db/db.sqlite" "insert into ValidPaths (path, hash, registrationTime)
		values ('/nix/store/$own', 'sha256:$(printf %064d 5)', 7)"
}
valid() {
	sqlite3 "$root/nix/var/nix/db/db.sqlite" "select count(*) from ValidPaths where path = '/nix/store/$own'"
}
shut_down() {
	"$underlay" mark-clean --upper "$root/nix/.rw"
}
export -f deep build valid shut_down fails
export own

# ---- builders ------------------------------------------------------------------------------------

for mode in attach rebuild; do
	blank "probe-$mode" 64M ext4
	tap "$mode: a builder makes 3000 directories in each other, of a name that once was Underlay's own" booted 'set -e
		deep "$root/nix/store/.underlay-probe" 3000 :
		build
		shut_down'
	for boot in second third; do
		tap "$mode: the $boot boot after it has all that was built" booted 'set -e
			[ "$(valid)" = 1 ]
			[ "$(cat "$root/nix/store/$own")" = own ]
			[ ! -e "$root/nix/.rw/kept.bad-1" ]
			jq -e "(.upper | has(\"keptLost\") | not) and .upper.mended == 0" "$run/state.json"
			"$underlay" status --file "$run/state.json" >/dev/null
			shut_down'
	done
	tap "$mode: what was kept is moved away" booted 'shut_down; mv "$root/nix/.rw/kept" "$root/nix/.rw/var/kept"'
	lost='set -e
		fails 1 "^  LOST     what earlier boots built" "$underlay" status --file "$run/state.json"
		jq -e ".upper.keptLost and .reconcile.counts.invalidated == 1" "$run/state.json"
		[ "$(valid)" = 0 ]
		shut_down'
	tap "$mode: the next boot says so, and calls nothing valid that has no files" booted "$lost"
	tap "$mode: the one after it has nothing to say" booted '
		"$underlay" status --file "$run/state.json" && jq -e ".upper | has(\"keptLost\") | not" "$run/state.json"'
done
mode=attach
blank copied 64M ext4
tap "deep: 210 directories are built" booted 'deep "$root/nix/store/deep" 210 "echo old >file; echo old >other"'
tap "deep: at their bottom a file is changed, so all are copied up" booted 'deep "$root/nix/store/deep" 210 "echo new >file"; [ -d "$session/deep/d" ]'
for boot in third fourth; do
	tap "deep: the $boot boot has both" booted 'deep "$root/nix/store/deep" 210 "[ \$(cat file other | xargs echo -n | tr \" \" -) = new-old ]" && is_empty_dir "$session"'
done
tap "deep: deeper than any path" booted 'deep "$root/nix/store/deep" 3000 :'
tap "deep:     and copied up" booted 'deep "$root/nix/store/deep" 3000 "echo x >x"'
tap "deep: no boot fails for it" booted 'is_empty_dir "$session" && jq -e ".upper.joined.deep == 1" "$run/state.json"'

# ---- users, where var is made anew ---------------------------------------------------------------

user='$root/nix/var/nix/profiles/per-user/user'
blank users 400M xfs
tap "anew: a user makes 70 directories in each other" booted 'set -e
	build
	deep "'$user'" 70 "echo mine >file"
	ln -s /nowhere "$root/nix/var/nix/profiles/system"
	mkdir -p "$root/nix/var/nix/gcroots/auto"
	ln -s /nowhere "$root/nix/var/nix/gcroots/auto/x"
	shut_down'
is_there='set -e
	shut_down
	[ "$(valid)" = 1 ]
	[ "$(readlink "$root/nix/var/nix/profiles/system" "$root/nix/var/nix/gcroots/auto/x" | wc -l)" = 2 ]
	deep "'$user'" 70 "grep mine file"'
tap "anew: the next boot has all of them" booted "$is_there"'
	jq -e ".upper.guard == \"anew\" and (.upper | has(\"leftOut\") | not)" "$run/state.json"
	"$underlay" status --file "$run/state.json"
	deep "'$user'" 3000 :'
tap "anew: deeper than any path: what lies there is left out" booted "$is_there"'
	fails 1 "^  LEFT OUT of /nix/var: nix/profiles/per-user/user/d/.*: it lies deeper than any path" "$underlay" status --file "$run/state.json"'
tap "anew: more than half of the disk is a user's" booted 'head -c 250M /dev/zero | tr "\0" x >"'$user'/big"; echo small >"'$user'/small"; shut_down'
tap "anew: it is left out, by name, and lies in the trash until the next boot" booted "$is_there"'
	[ "$(cat "'$user'/small")" = small ]
	[ ! -e "'$user'/big" ]
	fails 1 "^  LEFT OUT of /nix/var: nix/profiles/per-user/user/big: there is no room for it twice" "$underlay" status --file "$run/state.json"
	old=$(jq -r .upper.leftIn "$run/state.json")
	[ "$(stat -c %s "$root/nix/.rw/$old/nix/profiles/per-user/user/big")" = 262144000 ]
	stat -c %i "$root/nix/.rw/sessions" >"$root/nix/.rw/inode"'
tap "anew: the next boot has nothing more to say, and sessions/ is anew, too" booted "$is_there"'
	"$underlay" status --file "$run/state.json"
	[ -s "$root/nix/.rw/inode" ]
	differ "$(stat -c %i "$root/nix/.rw/sessions")" "$(cat "$root/nix/.rw/inode")"'

# ---- the order of what is written ----------------------------------------------------------------

# synced PATTERN: in the list of strace the last call before the first one of the pattern is a syncfs, but for those
# that make the directory of the sessions right.
synced() {
	grep -vE '^fch(own|mod)\(' "$tmp/order" | grep -E -m 1 -B 1 "$1" | tee /dev/stderr | head -n 1 | grep -q '^syncfs([0-9]*) *= 0$'
}
export tmp
blank order 64M ext4
calls=syncfs,renameat2,unlinkat,mkdirat,fchmod,fchown,fsetxattr,utimensat,pwrite64
tap "order: a boot builds, and deletes what an earlier one built" booted 'echo old >"$root/nix/store/replaced"'
tap "order:     another" booted 'rm "$root/nix/store/replaced"; echo new >"$root/nix/store/replaced"; shut_down'
files="strace -qqq -o $tmp/order -e trace=$calls"
tap "order: a third, over them" booted '[ "$(cat "$root/nix/store/replaced")" = new ]'
tap "order: what was joined is on the disk before the session that had it is thrown away" \
	synced 'renameat2\([0-9]+, "[0-9]{8}-[0-9a-f]{16}", '
tap "order: all is on the disk before the session's blocks are taken" \
	synced 'mkdirat\([0-9]+, "[0-9]{8}-[0-9a-f]{16}", '
blank order-xfs 400M xfs
files=
tap "order: xfs: a boot builds" booted 'shut_down'
files="strace -qqq -o $tmp/order -e trace=syncfs,unlinkat,mkdirat,ioctl"
tap "order: xfs: another makes var anew" booted 'jq -e ".upper.guard == \"anew\"" "$run/state.json"'
# XFS frees in the background, after the sync.
tap "order: xfs: what is freed is free, which a freeze waits for, before the copies are made" bash -c '
	grep -E "syncfs|unlinkat|FIFREEZE|FITHAW|\"var.new\"" "$1" | grep -m 1 -B 2 "mkdirat.*\"var.new\"" | sed "s/(.*, /(/" | xargs |
		tee /dev/stderr | grep -q "^ioctl(FIFREEZE) = 0 ioctl(FITHAW) = 0 mkdirat"' _ "$tmp/order"
tap_end
