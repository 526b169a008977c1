# Real overlays over sealed images and uppers on loop devices. To be sourced after namespace.sh and tap.sh.
#
#   layers_sealed NAME erofs|squashfs [--no-links]  an image with the store of upper_attack and its names, mounted; sets
#                                      $sealed (its store), $names, $uuid, and $links: empty, or the layer of `.links`
#   layers_upper NAME FS MIB [OPTION...]  a new filesystem, mounted; sets $upper and $upper_image
#   layers_join                        what sessions left is joined, as at boot
#   layers_boot [unguarded]            that, a session, and the overlay over it on $view
#   layers_down                        the overlay goes
#   layers_cut CALL N COMMAND...       the command, killed as it makes that system call the Nth time: 0; it came to its
#                                      end before that: 1; neither, so nothing was tried: 2
#
# $tmp is the script's own directory, in memory.

layers=$PWD/build/tests/tools/layers
attack=$PWD/build/tests/tools/upper_attack
PATH=$PATH:/usr/sbin:/sbin

tmp=$(mktemp -d /dev/shm/layers.XXXXXX) || exit 1
view=$tmp/view
mkdir "$view"
layers_cleanup() {
	cd / || return
	# What is mounted goes first: no image may be removed beneath a filesystem.
	awk -v top="$tmp" 'index($5, top) == 1 { print $5 }' /proc/self/mountinfo | tac | xargs -r umount
	rm -rf "$tmp"
}
tap_at_exit layers_cleanup

layers_sealed() {
	local tree=$tmp/$1.tree
	mkdir -p "$tree/store" "$tree/names" "$tmp/$1" "$tmp/$1.links"
	(cd "$tree/store" && "$attack" store "${@:3}") && "$layers" names "$tree/store" "$tree/names" >/dev/null || return
	uuid=01234567-89ab-cdef-0123-456789abcdef
	case $2 in
	erofs) mkfs.erofs -U "$uuid" "$tmp/$1.img" "$tree" ;;
	squashfs) mksquashfs "$tree" "$tmp/$1.img" -noappend ;;
	esac >"$tmp/log" 2>&1 && mount -o loop,ro "$tmp/$1.img" "$tmp/$1" || return
	[ "$2" = erofs ] || uuid=00000000-0000-0000-0000-000000000000
	rm -rf "$tree"
	sealed=$tmp/$1/store names=$tmp/$1/names links=
	[ "$("$layers" links "$sealed" "$tmp/$1.links")" = 0 ] || links=$tmp/$1.links
}

layers_upper() {
	upper=$tmp/$1 upper_image=$tmp/$1.img
	mkdir -p "$upper"
	truncate -s "$3M" "$upper_image"
	"mkfs.$2" -q "${@:4}" "$upper_image" >"$tmp/log" 2>&1 && mount -o loop,nosuid,nodev "$upper_image" "$upper"
}

layers_join() {
	"$layers" join "$upper" "$sealed"
}

layers_boot() {
	local session lower=$sealed${links:+:$links}:$names
	[ $# -eq 0 ] || lower=$sealed
	layers_join && session=$upper/sessions/$("$layers" session "$upper" 1775) &&
		mount -t overlay overlay "$view" -o "lowerdir=$lower:$upper/kept,upperdir=$session/up,workdir=$session/work,index=off,metacopy=off,redirect_dir=nofollow,xino=off"
}

layers_down() {
	umount "$view"
}

layers_cut() {
	local status=0
	(
		strace -f -qqq -o /dev/null -e "trace=$1" -e "inject=$1:signal=KILL:when=$2" "${@:3}"
		exit $?
	) >/dev/null 2>&1 || status=$?
	case $status in
	137) return 0 ;;
	0) return 1 ;;
	*) return 2 ;;
	esac
}
