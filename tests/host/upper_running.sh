#!/usr/bin/env bash
# `underlay db reconcile` and an upper that a system runs on: refused, in whatever way that shows, and nothing of the
# upper is changed, not even a lock made; when nobody uses it any more it is reconciled.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/namespace.sh
export TMPDIR=/dev/shm
. tests/lib/tap.sh
. tests/lib/stages.sh
tap_at_exit 'cd / && for at in view elsewhere upper chroot; do umount -R "$tmp/$at" 2>/dev/null; done'

make_tree "$tmp/one" || { echo "not ok - the lower is made" && exit 1; }
upper=$tmp/upper session=sessions/00000001-0123456789abcdef own=33333333333333333333333333333333-own
mkdir -p "$upper" "$tmp"/{view,elsewhere,chroot}
mount -t tmpfs tmpfs "$upper"

# fill: an upper with a database, which another image is to change.
fill() {
	rm -rf "${upper:?}"/* && mkdir -p "$upper"/{kept,trash/1,var/nix/db} "$upper/$session"/{up,work} && echo own >"$upper/$session/up/$own" &&
		echo old >"$upper/trash/1/old" && "$underlay" db build "$tmp/one/nix/.underlay/manifest" -o "$upper/var/nix/db" >/dev/null &&
		sqlite3 "$upper/var/nix/db/db.sqlite" "insert into ValidPaths (path, hash, registrationTime) values
			('/nix/store/$own', 'sha256:$(printf %064d 5)', 7), ('/nix/store/44444444444444444444444444444444-gone', 'sha256:$(printf %064d 5)', 7)" &&
		echo '{"format": 1, "identity": "other", "database": "attach", "checkedId": 1000}' >"$upper/lower.json" && echo '{}' >"$upper/clean"
}
# tree: all of the upper: names, inodes, times, contents.
tree() {
	(cd "$upper" && find . -printf '%p %i %s %m %n %T@ %C@\n' | sort && find . -type f -exec sha256sum {} + | sort)
}
reconcile() {
	"${@:2}" "$underlay" db reconcile --upper "${dir:-$upper}" --lower "$tmp/one/nix/.underlay/manifest" $1
}
# running NAME WHY [COMMAND...]: refused with that reason; COMMAND runs it.
running() {
	local option
	for option in "" --dry-run --refuse --json; do
		tree >"$tmp/before"
		reconcile "$option" "${@:3}" >"$tmp/out" 2>&1
		tap_is "running: $1${option:+, $option}: refused" "$? $(sed "s|$tmp|TMP|g" "$tmp/out")" \
			"3 underlay: opening the upper: ${shown:-TMP/upper}: a system runs on it ($2), and its database would be changed under Nix. Reboot, which does the same; or run it from another system."
		tree >"$tmp/after"
		tap "    nothing is changed" same "$tmp/before" "$tmp/after"
	done
}
overlay() {
	mount -t overlay overlay "$tmp/view" -o "lowerdir=$tmp/one/nix/store:$upper/kept,upperdir=$1/up,workdir=$1/work,index=off,metacopy=off,xino=off"
}

fill
tap "an overlay over it" overlay "$upper/$session"
running "an overlay's upper directory lies in it" "the overlay on TMP/view writes to it"
mount --bind "$upper" "$tmp/elsewhere"
dir=$tmp/elsewhere shown=TMP/elsewhere
running "by another name of the directory" "the overlay on TMP/view writes to it"
dir='' shown=''
umount "$tmp/elsewhere" "$tmp/view"

# As the boot mounts it: in the new root, whose paths are not this process's.
mount --bind "$upper" "$tmp/elsewhere" && tap "an overlay whose upper directory has no such name any more" overlay "$tmp/elsewhere/$session" && umount "$tmp/elsewhere"
running "the session's name" "the overlay on TMP/view writes to it"
tap "another upper is nobody's" bash -c 'cp -a "$1" "$2" && mv "$2/$3" "$2/sessions/00000001-fedcba9876543210" && exec "${@:4}"' _ "$upper" "$tmp/copy" $session \
	"$underlay" db reconcile --upper "$tmp/copy" --lower "$tmp/one/nix/.underlay/manifest"
umount "$tmp/view"

tap "PID 1 has an overlay over it, and this process none" unshare --pid --fork --kill-child --mount-proc bash -c '
	mount -t overlay overlay "$1/view" -o "lowerdir=$1/one/nix/store:$2/kept,upperdir=$2/$3/up,workdir=$2/$3/work,index=off,metacopy=off,xino=off" || exit 9
	unshare --mount --propagation private sh -c "umount \"\$1/view\" && shift 2 && exec \"\$@\"" _ "$1" "$2" "${@:4}" >"$1/out" 2>&1
	[ $? = 3 ] && umount "$1/view" && cat "$1/out" && grep -q "a system runs on it (the overlay on .*/view writes to it)" "$1/out"' \
	_ "$tmp" "$upper" $session "$underlay" db reconcile --upper "$upper" --lower "$tmp/one/nix/.underlay/manifest"

# In a root of its own, where /nix and /run are nobody else's: the program, its libraries, the manifest. Nothing of this
# machine is mounted there.
mount -t tmpfs tmpfs "$tmp/chroot"
manifest=$tmp/one/nix/.underlay/manifest
cp --parents -L "$underlay" $(ldd "$underlay" | grep -o '/[^ )]*') "$manifest" "$tmp/chroot/" 2>"$tmp/log" || cat "$tmp/log"
mkdir -p "$tmp/chroot"/{proc,tmp,nix/var,nix/.rw,run/underlay} "$tmp/chroot$upper" && mount -t proc proc "$tmp/chroot/proc" &&
	mount --bind "$upper" "$tmp/chroot$upper"
inside=(chroot "$tmp/chroot")
mount --bind "$upper/var" "$tmp/chroot/nix/var"
running "/nix/var is bound to its var" "/nix/var is its var" "${inside[@]}"
umount "$tmp/chroot/nix/var"
echo '{"format": 1, "upper": {"mount": "/nix/.rw"}}' >"$tmp/chroot/run/underlay/state.json"
mount --bind "$upper" "$tmp/chroot/nix/.rw"
running "state.json names it" "/run/underlay/state.json names it" "${inside[@]}"
umount "$tmp/chroot/nix/.rw"
tree >"$tmp/before"
tap "state.json names another: a dry run" reconcile --dry-run "${inside[@]}"
tap_is "    tells what would be done" "$(reconcile --dry-run "${inside[@]}" | grep -c '^would be done: another lower, .* 1 invalidated')" 1

mount -t tmpfs tmpfs "$tmp/chroot/proc"
tap "what is mounted cannot be read: refused" bash -c '"${@:2}" >"$1/out" 2>&1; [ $? = 3 ] && grep -q "^underlay: looking whether a system runs on the upper: /proc/self/mountinfo: No such file or directory. Mount /proc.$" "$1/out"' _ "$tmp" \
	"${inside[@]}" "$underlay" db reconcile --upper "$upper" --lower "$tmp/one/nix/.underlay/manifest"
umount -R "$tmp/chroot"

tap "nobody uses it any more: it is reconciled" reconcile ""
tap_is "    and its rows are right" "$(sqlite3 "$upper/var/nix/db/db.sqlite" "select substr(path, 12) from ValidPaths" | grep -c -e gone -e "$own")" 1
tap "    the trash is emptied" [ ! -e "$upper/trash/1" ]
tap_end
