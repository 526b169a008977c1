#!/usr/bin/env bash
# Joining a session into the kept layer, over real overlays: what a program saw before is what it sees after, whatever
# the session did, and wherever the join was cut: on ext4 at each system call that changes something.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/namespace.sh
. tests/lib/tap.sh
. tests/lib/layers.sh

sealed_dir=$(printf %031d 0)d-merge sealed_file=$(printf %031d 0)f-merge sealed_link=$(printf %031d 0)l-merge

# What the boots before left: made through the overlay, as all of it is.
first_boot() {
	cd "$view" || return
	mkdir -p deleted/sub emptied/sub replaced/sub retyped-dir/x changed/sub/deep/er kept/sub copied owned .links
	for f in deleted-file retyped-file linked renamed changed-file deleted/f deleted/sub/f emptied/f emptied/sub/f replaced/f \
		replaced/sub/f retyped-dir/f changed/{f,gone,same} changed/sub/{f,gone,linked} changed/sub/deep/er/f kept/f kept/sub/f \
		copied/f owned/f .links/one; do
		echo "old $f" >"$f"
	done
	ln -s linked retyped-link && ln -s nowhere changed/link && mkfifo pipe
	ln linked linked-too && ln .links/one from-links
	mkdir "$(printf 'n%.0s' $(seq 255))" && touch "odd $(printf '\n\377') name"
	setfattr -n user.a -v 1 changed && setfattr -n user.gone -v 1 changed && setfacl -m u:7:rwx changed/sub
	find . -mindepth 1 -not -type l -not -path "./*sealed*" -newer "$tmp/start" -exec touch -d @1 {} +
}

# Everything that a system may do to it.
second_boot() {
	cd "$view" || return
	rm -r deleted deleted-file emptied/* && rm pipe && mknod pipe p
	rm -r replaced && mkdir -p replaced/sub && echo new >replaced/new && echo new >replaced/sub/new
	rm -r retyped-dir && echo file >retyped-dir
	rm retyped-file && mkdir retyped-file && echo new >retyped-file/x
	rm retyped-link && mkdir retyped-link && touch retyped-link/x
	echo more >>changed/f && rm changed/gone && mkdir changed/new changed/gone && echo new >changed/new/x && echo new >changed/gone/x
	rm changed/link && ln -s elsewhere changed/link
	echo more >>changed/sub/deep/er/f && mv changed/sub/f changed/sub/moved && rm changed/sub/gone && mkfifo changed/sub/pipe
	ln changed/sub/linked changed/sub/linked-too
	setfattr -x user.gone changed && setfattr -n user.a -v 2 changed && setfattr -n user.new -v 3 changed
	setfacl -b changed/sub && setfacl -d -m u:8:rx changed/sub
	chmod 700 copied && chown 5:6 owned owned/f && chmod 2755 owned
	mv renamed renamed-since && mv kept kept-since && echo more >>changed-file && truncate -s 1 linked
	mkdir -p new/a/b/c && echo 1 >new/a/b/c/1 && ln new/a/b/c/1 new/2 && ln new/2 new-link && ln -s new new-symlink
	mkdir passing && rmdir passing && echo x >passing
	touch "odd $(printf '\n\377') again" && rmdir "$(printf 'n%.0s' $(seq 255))"
	mkdir -p .links && echo new >.links/two && ln .links/two from-links-too
	find changed copied new emptied -newer "$tmp/start" -not -type l -exec touch -d @1 {} +
	# What is sealed: deleted, replaced, copied up.
	rm -r "$sealed_dir" && rm "$sealed_file" && mkdir "$sealed_file" && rm "$sealed_link" && echo x >"$sealed_link"
	chmod 700 "$(printf %031d 1)d-opaque" && echo more >>"$(printf %031d 2)d-opaque-x/init" && touch "$(printf %031d 3)f-file"
}

look() {
	"$attack" view "$view" "$sealed"
}

# Boots of an upper until the session of the second is there, unjoined; $tmp/before is what was seen in it.
prepare() {
	layers_upper "$@" && touch -d @100 "$tmp/start" && layers_boot >/dev/null && (first_boot) && look >"$tmp/first" && layers_down &&
		layers_boot >/dev/null && look >"$tmp/again" && (second_boot) && look >"$tmp/before" && layers_down
}

same_view() {
	layers_boot && look >"$tmp/after" && diff -a "$tmp/before" "$tmp/after" && "$attack" compare "$sealed" "$view"
}

# Those that change something.
calls="renameat2 unlinkat mkdirat fchmod fchown fsetxattr fremovexattr utimensat syncfs"

# restore NAME: the upper as it was before the join.
restore() {
	umount "$upper"
	cp "$tmp/$1.saved" "$upper_image"
	mount -o loop,nosuid,nodev "$upper_image" "$upper"
}

layers_sealed lower erofs || { echo "not ok - the sealed image is made" && exit 1; }
for fs in ext4 xfs btrfs; do
	grep -qw $fs /proc/filesystems || continue
	mib=310 every=${CUT_EVERY:-9}
	[ $fs = ext4 ] && mib=32 every=1
	tap "$fs: two boots" prepare "upper-$fs" $fs $mib
	tap "$fs: the second sees what the first left" diff -a "$tmp/first" "$tmp/again"
	tap "$fs: there is enough to join" bash -c '[ "$(wc -l <"$1")" -gt 40 ]' _ "$tmp/before"
	umount "$upper" && cp "$upper_image" "$tmp/upper-$fs.saved" && mount -o loop,nosuid,nodev "$upper_image" "$upper"
	tap "$fs: the third sees what the second left, and all that is sealed is back" same_view
	tap_is "$fs: hard links are still links" "$(stat -c %i "$view/new/2" "$view/new-link" "$view/new/a/b/c/1" | uniq | wc -l)" 1
	tap "$fs: a join later nothing has changed" bash -c "$(declare -f layers_down layers_join layers_boot same_view look)"'
		view=$1 upper=$2 sealed=$3 names=$4 links= layers=$5 attack=$6 tmp=$7; layers_down && same_view' _ \
		"$view" "$upper" "$sealed" "$names" "$layers" "$attack" "$tmp"
	layers_down
	cuts=0 bad=
	for call in $calls; do
		for ((n = 1; n < 2000; n += every)); do
			restore "upper-$fs" || break
			layers_cut "$call" $n "$layers" join "$upper" "$sealed"
			cut=$?
			[ $cut != 2 ] || bad+=" $call $n: not tried"
			[ $cut = 0 ] || break
			cuts=$((cuts + 1))
			# The repetition of every third is cut somewhere, too.
			[ $((cuts % 3)) -ne 0 ] || layers_cut renameat2 $((1 + n * 7 % 20)) "$layers" join "$upper" "$sealed"
			same_view >"$tmp/log" 2>&1 || { bad+=" $call $n" && sed 's/^/# /' "$tmp/log" | head -n 20; }
			layers_down
		done
	done
	tap_none "$fs: $cuts cuts, of every third a second: the view is the same" printf %s "$bad"
	tap "$fs: there were enough of them" test $cuts -gt $((100 / every))
	umount "$upper"
done

# Another image was booted since: what was copied up of a path that is no longer sealed is no path.
layers_upper orphan ext4 32
layers_boot >/dev/null
chmod 700 "$view/$sealed_dir" && echo more >>"$view/$sealed_file"
layers_down
mkdir "$tmp/other"
tap "another image: a part of a sealed path is thrown away, a whole file is kept" bash -c '
	"$1" join "$2" "$3" | grep -q "joined 1 removed 0 sealed 0 orphans 1" && ls "$2/kept" | grep -qx "$4"' _ \
	"$layers" "$upper" "$tmp/other" "$sealed_file"
umount "$upper"

# A full filesystem: what was thrown away makes room; where there is none, nothing is lost.
full() {
	layers_upper "$1" ext4 32 && mkdir -p "$upper"/{trash,kept,sessions/00000001-0123456789abcdef/up} || return
	touch "$upper"/{trash/old,sessions/00000001-0123456789abcdef/up/{1..50},kept/{25..60}}
	strace -qqq -o /dev/null -e trace=renameat2 -e "inject=renameat2:error=ENOSPC:when=$2" "$layers" join "$upper" "$sealed" 2>"$tmp/log"
}
for n in 5 6 30 31 51; do
	full "full$n" $n >"$tmp/out"
	tap_is "full at rename $n: joined all the same" "$(cat "$tmp/out")" "sessions 1 joined 50 removed 26 sealed 0 orphans 0 mended 0"
	tap_is "    all of it" "$(find "$upper/kept" -type f | wc -l)" 60
	umount "$upper"
done
full hopeless 31+ >/dev/null
tap_is "hopeless: its status" $? 3
tap "    its sentence" grep -q '^layers: joining what earlier sessions left: [0-9]*: No space left on device. Make room on the upper.$' "$tmp/log"
tap_is "    nothing is lost" "$(cd "$upper" && find kept sessions -type f -printf '%f\n' | sort -u | wc -l)" 60
tap "    with room it goes on" layers_join
tap_is "    to its end" "$(find "$upper/kept" -type f | wc -l)" 60
umount "$upper"

# Attributes that somebody put on a kept directory leave no place for the session's: that is not a full disk.
crowded() {
	local up=$upper/sessions/00000001-0123456789abcdef/up
	mkdir -p "$upper/kept/d" "$up/d" && touch "$up/d/new" && setfattr -n user.b -v small "$up/d" &&
		setfattr -n trusted.overlay.x -v "$(printf %03800d 1)" "$upper/kept/d" &&
		setfattr -n user.a -v "$(printf %01000d 1)" "$up/d"
}
layers_upper crowded ext4 32 -b 4096 && tap "no place for an attribute" crowded
tap_is "    joined all the same" "$("$layers" join "$upper" "$sealed" 2>&1)" "sessions 1 joined 1 removed 0 sealed 0 orphans 0 mended 0"
tap "    with what has a place" bash -c '[ "$(getfattr --only-values -n user.b "$1")" = small ]' _ "$upper/kept/d"
umount "$upper"

# A directory that hands its project on, which a user may say of his own, takes no entry of another project.
# of_project DIR FLAG: the upper, on which DIR does; FLAG on what is to be taken.
of_project() {
	layers_upper project xfs 310 -f && mkdir -p "$upper"/{kept/d,trash,sessions/00000001-0123456789abcdef/up/d} &&
		touch "$upper"/{kept/file,sessions/00000001-0123456789abcdef/up/{file,d/new}} &&
		xfs_io -r -c "chproj 5" -c "chattr +P" "$upper/$1" && chattr "$2" "$upper"/{kept/file,sessions/*/up/{file,d/new}}
}
if grep -qw xfs /proc/filesystems; then
	# One may hide the other: a file that nobody may rename, into a directory that takes none of its project.
	for case in "kept -i" "kept/d -i" "trash -i" "kept +i" "kept/d +i" "trash +i"; do
		read -r dir flag <<<"$case"
		tap "xfs: $dir hands its project on, $flag" of_project "$dir" "$flag"
		tap_is "    joined all the same" "$("$layers" join "$upper" "$sealed" 2>&1)" \
			"sessions 1 joined 2 removed 1 sealed 0 orphans 0 mended 0"
		tap "    all of it" test -e "$upper/kept/d/new"
		umount "$upper"
	done
fi

# btrfs hands compression on as an attribute, which is no sign of anything.
if grep -qw btrfs /proc/filesystems; then
	layers_upper compressed btrfs 110 && btrfs property set "$upper" compression zstd
	tap "btrfs: a compressed upper has sessions" layers_boot
	tap "    their files are compressed" bash -c 'echo x >"$1/x" && [ "$(btrfs property get "$2"/sessions/*/up compression)" = compression=zstd ]' _ "$view" "$upper"
	layers_down
fi
tap_end
