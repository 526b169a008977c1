#!/usr/bin/env bash
# What the policy says of a persistent upper: a database that somebody copied up under the old image, the system of
# the upper's own profile, an upper that is missing, one that overlayfs cannot use, an image that would cost valid
# paths.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/namespace.sh
for lib in tap cache appliance qemu image upper; do
	. "tests/lib/$lib.sh"
done
work=$qemu_dir/persist-policy
kernel=6.12
rm -rf "$work"
mkdir -p "$work"
for release in 1 2; do
	image_appliance 2.26:$release >/dev/null || { echo "not ok - the images are made" && exit 1; }
done

# boot NAME MODE RELEASES SCENARIO-DISK [DISK] [-- POLICY-LINE...]: image disks come first, the newest at the end.
boot() {
	local name=$1 mode=$2 releases=$3 data=$4 release
	local -a disks=()
	shift 4
	for release in $releases; do
		disks+=("$(image_appliance 2.26:$release)")
	done
	[ "${1:---}" = -- ] || disks+=("$1:rw")
	while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done
	image_config "$work/$name.conf" "[database]" "mode = $mode" \
		"[upper]" "type = disk" "device = PARTLABEL=upper" "prepare = format" "timeout = 2s" "${@:2}"
	qemu_boot "$name" "$(cache_kernel $kernel)" "$(image_initrd $kernel "$work/$name.conf")" \
		"appliance.scenario=disk" 300 "${disks[@]}" "$data"
	guest_block "$name" state >"$work/$name.state"
}

state() {
	jq -r "$2" "$work/$1.state"
}

# As users report it: /nix/var lies on the disk since the old image, its whole database with it.
copied_up() {
	local name=copied-up-$1 old
	upper_disk "$work/$name.disk" 128
	upper_format "$work/$name.disk"
	old=$(appliance_store 2.26:1)
	upper_mount "$work/$name.disk" "$work/$name.mnt" || return 1
	mkdir -p "$work/$name.mnt"/{store,work,var/nix/db}
	cp "$old/nix/var/nix/db"/* "$work/$name.mnt/var/nix/db/"
	upper_umount "$work/$name.mnt"
	boot "$name" "$1" 2 "$(guest_disk "$name" release=2 lib valid)" "$work/$name.disk"
	guest_checks "$name" disk
	tap_is "$name: the upper" "$(state "$name" .upper.persistent)" true
}

# The upper's own system is started while it is valid, and the image's where it is not any more.
own_system() {
	local disk=$work/own-system.disk
	upper_disk "$disk" 128
	boot own-system-made "$1" 1 "$(guest_disk own-system-made release=1 lib profile)" "$disk"
	guest_checks own-system-made disk
	boot own-system-profile "$1" 1 "$(guest_disk own-system-profile lib cut-nothing)" "$disk" -- "[system]" "from = profile"
	tap_is "own-system-profile: it is the upper's system that started" \
		"$(cat "$qemu_dir/own-system-profile.results")" "say own-system"
	boot own-system-gone "$1" 2 "$(guest_disk own-system-gone release=2 lib valid)" "$disk" -- "[system]" "from = profile"
	guest_checks own-system-gone disk
	tap "own-system-gone: the log says why it is the image's" \
		grep -q "underlay: system: following the system's profile: .*does not call it valid" "$qemu_dir/own-system-gone.console"
}

missing_fails() {
	boot missing-fails attach 1 "$(guest_disk missing-fails lib cut-nothing)" -- "on-missing = fail"
	tap "missing-fails: the boot says what is missing" \
		grep -q 'underlay: upper: .*PARTLABEL=upper' "$qemu_dir/missing-fails.console"
	tap_none "missing-fails: no system was started" cat "$qemu_dir/missing-fails.results"
	tap_is "missing-fails: how the machine ended" "$(cat "$qemu_dir/missing-fails.end")" reboot
}

missing_tmpfs() {
	boot missing-tmpfs attach 1 "$(guest_disk missing-tmpfs lib fallback)" -- "on-missing = tmpfs"
	guest_checks missing-tmpfs disk
	tap_is "missing-tmpfs: state.json" "$(state missing-tmpfs '"\(.upper.persistent) \(.upper.fallback | type)"')" \
		"false string"
	tap "missing-tmpfs: the log says it loudly" \
		grep -q 'underlay: upper: .*PARTLABEL=upper' "$qemu_dir/missing-tmpfs.console"
}

# On each kernel: the guest tries for itself that overlayfs does not take it.
casefold() {
	local name=casefold-$1 kernel=$1 disk=$work/casefold-$1.disk
	upper_disk "$disk" 64
	upper_format "$disk" -O casefold
	boot "$name" attach 1 "$(guest_disk "$name" lib fallback casefold)" "$disk" -- "on-missing = tmpfs"
	guest_checks "$name" disk
	tap "$name: the log says what is the matter and what to do" \
		grep -q 'underlay: upper: preparing the upper: .*: its ext4 has the feature casefold, .* Take the feature off' \
		"$qemu_dir/$name.console"
}

# The kernel has the quotas' format as a module, and nobody who would load it when ext4 asks.
quotas() {
	local disk=$work/quotas.disk
	upper_disk "$disk" 64
	upper_format "$disk" -O quota
	boot quotas attach 1 "$(guest_disk quotas lib cut-nothing)" "$disk"
	guest_checks quotas disk
	tap "quotas: the upper that counts them is mounted" grep -q 'underlay: upper: ext4 on' "$qemu_dir/quotas.console"
	tap "quotas: the kernel did not miss their format" lacks -a 'quota tracking' "$qemu_dir/quotas.console"
}

# Release 2 would cost the upper what refers to a path of release 1: it is not started, and nothing is written.
vanished() {
	local disk=$work/vanished.disk
	upper_disk "$disk" 128
	boot vanished-build "$1" 1 "$(guest_disk vanished-build release=1 lib recipe build)" "$disk"
	guest_checks vanished-build disk
	boot vanished-refuse "$1" "1 2" "$(guest_disk vanished-refuse release=1 lib valid)" "$disk" -- \
		"[reconcile]" "vanished = refuse"
	guest_checks vanished-refuse disk
	tap_is "vanished-refuse: it is release 1 that runs" "$(state vanished-refuse '.lowers[0].version')" 1.0
	tap "vanished-refuse: the log says why" \
		grep -q 'underlay: reconcile: .* refer to paths that this lower does not have' "$qemu_dir/vanished-refuse.console"
	boot vanished-invalidate "$1" "1 2" "$(guest_disk vanished-invalidate release=2 lib valid)" "$disk"
	guest_checks vanished-invalidate disk
	tap_is "vanished-invalidate: it is release 2 that runs" "$(state vanished-invalidate '.lowers[0].version')" 2.0
}

tap_case copied_up attach
tap_case copied_up rebuild
tap_case own_system rebuild
tap_case vanished attach
tap_case missing_fails
tap_case missing_tmpfs
tap_case casefold 6.1
tap_case casefold 6.12
tap_case quotas
tap_cases
tap_end
