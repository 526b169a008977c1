# The boot's own stages on loop devices, each boot in a mount namespace of its own. To be sourced after tap.sh.
#
#   make_tree DIR                    a lower's files: a system, its library, and a path that nothing refers to
#   lower NAME [erofs|squashfs|ext4 [OPTION...]]   the tree $tmp/NAME as a block device, in $device; its maker's options
#   attach_device FILE [OPTION...]   a file as a block device, in $device; it goes when the script ends
#   run SCRIPT [CMDLINE [POLICY-LINE...]]   the stages, then the script
#                                    where $device is a directory, it stands for one that a host shares
#   refused NAME CODE SENTENCE [CMDLINE [POLICY-LINE...]]   the stages must fail
#
# $tmp is the script's own directory.

underlay=$PWD/build/underlay
stages=$PWD/build/tests/tools/boot_stages
tmp=$(mktemp -d) || exit 1
loops=()
cleanup() {
	local loop
	# A partition that was added by hand outlives the loop device's file, and shows on the next one.
	for loop in "${loops[@]}"; do
		[ ! -e "/sys/block/${loop#/dev/}/${loop#/dev/}p1" ] || delpart "$loop" 1
	done
	[ ${#loops[@]} -eq 0 ] || losetup -d "${loops[@]}"
	rm -rf "$tmp"
}
tap_at_exit cleanup

# ---- the lowers ----------------------------------------------------------------------------------

system=00000000000000000000000000000000-system
library=11111111111111111111111111111111-library
other=22222222222222222222222222222222-other

# record NAME REFERENCE...: a path's registration. Nothing here looks at the hash.
record() {
	echo "/nix/store/$1"
	printf '%064d\n120\n\n%d\n' 7 $(($# - 1))
	shift
	[ $# -eq 0 ] || printf '/nix/store/%s\n' "$@"
}

# What Nix knows of the tree's paths.
registration() {
	record $system $system $library
	record $library
	record $other
}

make_tree() {
	local tree=$1
	mkdir -p "$tree"/nix/store/{$system,$library} "$tree"/nix/{.underlay,var/nix/db}
	printf '#!/bin/sh\n' >"$tree/nix/store/$system/real-init"
	chmod 555 "$tree/nix/store/$system/real-init"
	# As in NixOS, through an absolute link into the store.
	ln -s "/nix/store/$system/real-init" "$tree/nix/store/$system/init"
	echo library >"$tree/nix/store/$library/file"
	echo other >"$tree/nix/store/$other"
	"$underlay" manifest create -o "$tree/nix/.underlay/manifest" --registration <(registration) >/dev/null &&
		"$underlay" db build "$tree/nix/.underlay/manifest" -o "$tree/nix/var/nix/db" >/dev/null &&
		cat >"$tree/nix/.underlay/image.json" <<-END
			{"format": 1, "name": "demo", "version": "1", "system": "/nix/store/$system", "storeDir": "/nix/store",
			 "paths": 3, "narSize": 360, "manifestFormat": 1, "nixSchema": 10, "database": true}
		END
}

# lower NAME [erofs|squashfs|ext4 [OPTION...]]: the tree of that name as a block device, in $device.
lower() {
	case ${2:-erofs} in
	erofs) mkfs.erofs "${@:3}" "$tmp/$1.img" "$tmp/$1" ;;
	squashfs) mksquashfs "$tmp/$1" "$tmp/$1.img" -noappend -quiet "${@:3}" ;;
	ext4) mkfs.ext4 -q -d "$tmp/$1" "${@:3}" "$tmp/$1.img" 16M ;;
	esac >"$tmp/mkfs.log" 2>&1 || { cat "$tmp/mkfs.log" && exit 1; }
	attach_device "$tmp/$1.img" --read-only
}

attach_device() {
	device=$(losetup --find --show "${@:2}" "$1") || exit 1
	loops+=("$device")
}

# ---- running them --------------------------------------------------------------------------------

before= # done in the namespace before the stages run
# The policy's [verify].
verify=("mode = pinned" "root-hash = $(printf '%064d' 1)")
under=  # what runs the stages: strace, say

# run SCRIPT [CMDLINE [POLICY-LINE...]]: the stages over $device, and when they succeed the script, in which $root
# is the new root, $session the layer that this boot writes, and $run has nix.conf and state.json. Status: the stages'
# code, else the script's.
run() {
	local script=$1 cmdline=${2:-}
	shift $(($# < 2 ? $# : 2))
	rm -rf "$tmp/conf"
	mkdir -p "$tmp/conf/etc/underlay"
	{
		printf '%s\n' "[verify]" "${verify[@]}" "$@"
	} >"$tmp/conf/etc/underlay/underlay.conf"
	export root=$tmp/root run=$tmp/run system library other device cmdline stages conf=$tmp/conf before under underlay
	rm -rf "$run"
	mkdir -p "$root"
	unshare --mount --propagation private bash -uc '
		# Now, and not when the kernel comes to it: the next boot wants the device.
		trap "cd / && umount -R \"$root\" 2>/dev/null" EXIT
		eval "$before"
		$under "$stages" "$device" "$root" "$run" "$conf" "$cmdline" || exit
		session=$(echo "$root"/nix/.rw/sessions/*/up)
		'"$script"
}

# refused NAME CODE SENTENCE [CMDLINE [POLICY-LINE...]]: the stages end in that code; the sentence's pattern matches.
refused() {
	local name=$1 code=$2 sentence=$3 status
	shift 3
	run false "$@" >"$tmp/out" 2>&1
	status=$?
	echo "# ended with $status" >>"$tmp/out"
	tap "refused: $name" bash -c 'cat "$3"; [ "$1" = "$2" ] && grep -qE "^underlay: $4" "$3" &&
		grep -q "^underlay: failure $2 (" "$3"' _ $status "$code" "$tmp/out" "$sentence"
}
