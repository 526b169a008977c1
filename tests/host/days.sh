#!/usr/bin/env bash
# Nix for three boots over one persistent upper: see tests/lib/days.sh. Here the boot's own stages run on loop devices,
# and Nix in a chroot of what they leave. DAYS: which Nix in which mode of the database.
set -u
cd "$(dirname "$0")/../.." || exit 1
export TMPDIR=/dev/shm # thousands of syncs, which no real disk need do
for lib in tap cache appliance qemu image upper days; do
	. "tests/lib/$lib.sh"
done
. tests/lib/stages.sh

# What the appliance's init does where it is not PID 1. $root, $run: of tests/lib/stages.sh; $data: the scenario's disk.
# shellcheck disable=SC2016
start_system='
	set -e
	mkdir -p "$root"/{proc,dev,run/underlay,data,tmp,root,etc/nix,bin}
	mount --rbind /dev "$root/dev"
	mount -t tmpfs tmpfs "$root/tmp"
	mount -o loop,ro "$data" "$root/data"
	cp -r "$run/." "$root/run/underlay/"
	printf "%s\n" "build-users-group =" "sandbox = false" "substitute = false" "build-hook = $appliance/bin/build-remote" \
		"extra-experimental-features = nix-command" "!include /run/underlay/nix.conf" >"$root/etc/nix/nix.conf"
	echo root:x:0:0::/root:/bin/sh >"$root/etc/passwd"
	ln -s "$appliance/bin/busybox" "$root/bin/sh"
	# Processes of its own: what others name in their environment, another case of this test say, is alive to Nix.
	export root appliance
	unshare --pid --fork --kill-child bash -euc "$start_nix" 3>"$results" >&2'
start_nix='
	mount -t proc proc "$root/proc"
	exec chroot "$root" "$appliance/bin/env" -i PATH="$appliance/bin" HOME=/root USER=root LANG=C TERM=dumb NO_COLOR=1 \
		NIX_REMOTE= system="$appliance" "$appliance/bin/sh" -c ". $appliance/scenarios/lib.sh
			. /data/scenario.sh
			echo end disk \$? >&3"'

# An image's data partition as the lower: its seal needs a kernel with device-mapper, which a host may lack.
boot_day() {
	local start size disk
	export start_nix data=$PWD/$3 results=$PWD/$qemu_dir/$1.results appliance
	tmp=$2/stages # of this case alone
	mkdir -p "$tmp"
	: >"$results"
	appliance=$(image_system "$nix:1") || return 1
	read -r start size <<<"$(image_partition "$image" 1)"
	attach_device "$2/disk" --offset $upper_offset --sizelimit "$(upper_size "$2/disk")"
	disk=$device
	attach_device "$image" --read-only --offset "$start" --sizelimit "$size"
	run "$start_system" "" "[upper]" "type = disk" "device = $disk" "prepare = format" "[database]" "mode = $mode" \
		>"$qemu_dir/$1.console" 2>&1
	set -- $? "$1"
	losetup -d "${loops[@]}"
	loops=()
	[ "$1" = 0 ] || { tail -n 20 "$qemu_dir/$2.console" && return 1; }
}

days host ${DAYS:-2.26:attach 2.26:rebuild 2.8:rebuild}
tap_end
