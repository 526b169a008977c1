# Disks for persistent uppers, and scenarios that need no new store. To be sourced after cache.sh, appliance.sh,
# qemu.sh and image.sh.
#
#   upper_disk FILE MIB              an empty disk with one partition, labelled "upper"
#   upper_format FILE [OPTION...]    an ext4 on that partition, as an administrator would make it, with mkfs' options
#   upper_mount FILE DIR             mount the partition's filesystem, whatever is on it; in a mount namespace of the
#   upper_umount DIR                 script's own, please (namespace.sh)
#   upper_names DIR                  names in the mounted upper's store, as the overlay would show them: kept and
#                                    sessions
#   guest_disk NAME PART... [NAME=VALUE...] [+FILE...]   print a disk whose scenario is the parts (of tests/guest), with
#                                    variables set before; FILES and the underlay command are in /data of the guest
#   sealed_lists STORE DIR           DIR/sealed, the SHA-256 of every file of an image's source, and DIR/sealed.names,
#                                    for tests/guest/sealed.sh
upper_offset=$((1 << 20)) # bytes before the partition

upper_disk() {
	rm -f "$1"
	truncate -s "$2M" "$1"
	printf 'label: gpt\nstart=%d, name=upper, type=linux\n' $((upper_offset / 512)) | sfdisk --quiet "$1"
}

upper_size() {
	sfdisk --json "$1" | jq '.partitiontable.partitions[0].size * 512'
}

upper_format() {
	mkfs.ext4 -q -F "${@:2}" -E "offset=$upper_offset" "$1" $(($(upper_size "$1") / 1024))k
}

upper_mount() {
	mkdir -p "$2"
	mount -o "loop,offset=$upper_offset,sizelimit=$(upper_size "$1")" "$1" "$2"
}

upper_umount() {
	umount "$1"
}

upper_names() {
	local session
	{
		ls -A "$1/kept" 2>/dev/null
		for session in "$1"/sessions/*/up; do ls -A "$session" 2>/dev/null; done
	} | sort -u >"$1.names"
	for session in "$1"/sessions/*/up; do
		find "$session" -mindepth 1 -maxdepth 1 -type c -printf '%f\n' 2>/dev/null
	done >"$1.whiteouts"
	grep -vxFf "$1.whiteouts" "$1.names"
}

# The command with all that it loads, to be run by its own loader: the appliance has another C library.
guest_tools() {
	local tools=$qemu_dir/guest-tools library libraries
	(
		flock 9
		[ ! "$tools" -nt "$underlay" ] || exit 0
		rm -rf "$tools" "$tools.new"
		mkdir -p "$tools.new/lib"
		cp "$underlay" "$tools.new/lib/underlay"
		libraries=$(ldd "$underlay" | sed -n 's/^[^/]*\(\/[^ ]*\).*/\1/p')
		for library in $libraries; do
			cp -L "$library" "$tools.new/lib/"
		done
		printf '%s\n' '#!/bin/sh' \
			'exec /data/lib/ld-linux-x86-64.so.2 --library-path /data/lib /data/lib/underlay "$@"' \
			>"$tools.new/underlay"
		chmod +x "$tools.new/underlay"
		mv "$tools.new" "$tools"
	) 9>"$qemu_dir/.guest-tools.lock"
}

guest_disk() {
	local name=$1 dir=$qemu_dir/$1.guest part
	shift
	guest_tools || return 1
	rm -rf "$dir"
	mkdir -p "$dir"
	cp -al "$qemu_dir/guest-tools/." "$dir"
	for part; do
		[[ $part != +* ]] || cp "${part#+}" "$dir/"
	done
	for part; do
		[[ $part != *=* ]] || printf '%s=%q\n' "${part%%=*}" "${part#*=}"
	done >"$dir/scenario.sh"
	for part; do
		[[ $part == *=* || $part == +* ]] || cat "tests/guest/$part.sh"
	done >>"$dir/scenario.sh"
	rm -f "$dir.erofs"
	mkfs.erofs --quiet "$dir.erofs" "$dir" >"$dir.log" 2>&1 || { cat "$dir.log" >&2 && return 1; }
	rm -rf "$dir"
	echo "$dir.erofs"
}

sealed_lists() {
	(cd "$1" && find . -path ./.links -prune -o -type f -print0 | sort -z | xargs -0 sha256sum) >"$2/sealed"
	(cd "$1" && find . -mindepth 1 -maxdepth 1 ! -name .links -print0 | sort -z) >"$2/sealed.names"
}
