#!/usr/bin/env bash
# A newer image that verifies and does not come up: after its tries the good older one is started again, and everybody
# is told why. By a crash, a system that ends, a hang that the hardware's watchdog ends, one that nobody calls good; a
# way back by command; with the record on the disk, in the firmware, and nowhere.
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache appliance qemu image upper disk; do
	. "tests/lib/$lib.sh"
done
work=$qemu_dir/trials
rm -rf "$work"
mkdir -p "$work"
qemu_vars=/usr/share/OVMF/OVMF_VARS_4M.fd # Secure Boot is off
config=("[image]" "name = appliance" "[database]" "mode = attach")

image_keys && one=$(image_appliance 2.26:1) && two=$(image_appliance 2.26:2) &&
	image_config "$work/conf" "${config[@]}" && initrd=$(image_initrd 6.12 "$work/conf") &&
	"$underlay" uki build -o "$work/uki.efi" --kernel "$(cache_kernel 6.12)" --initrd "$initrd" \
		--cmdline "$qemu_cmdline appliance.scenario=disk" >/dev/null &&
	"$underlay" disk build -o "$work/one" --image "$one" --uki "$work/uki.efi" --slot-size 256M --upper-size 8M >/dev/null ||
	{ echo "not ok - images, a UKI and a disk are made" && exit 1; }

# start NAME DISK BAD KERNEL [CONFIG-LINE...]: until it powers off, through all restarts between.
start() {
	local name=$1 disk=$2 bad=$3 kernel=$4 data own
	shift 4
	image_config "$work/$name.conf" "${config[@]}" "$@"
	own=$(image_initrd "$kernel" "$work/$name.conf") && data=$(guest_disk "$name" "bad=$bad" lib trial) || return
	qemu_restarts=yes qemu_boot "$name" "$(cache_kernel "$kernel")" "$own" "appliance.scenario=disk" 300 "$disk:rw" "$data"
	said "$name"
}

said() {
	tr -d '\r' <"$qemu_dir/$1.console" | grep -o 'underlay: .*' >"$work/$1.said"
	guest_found "$1"
}

# started NAME WANTED: which releases, one start after the other.
started() {
	tap_is "$1: what was started" "$(guest_says "$1" started | paste -sd ' ')" "$2"
	[ "$(guest_says "$1" started | paste -sd ' ')" = "$2" ] || qemu_show "$1"
}

slots() { # DISK [OPTION...]
	"$underlay" slots --disk "$@"
}

# A machine with release 1, which is good, and release 2 beside it.
updated() {
	cp --reflink=auto --sparse=always "$work/good" "$1" &&
		"$underlay" update "$two" --disk "$1" --cert "$keys_dir/signer.crt" >/dev/null
}

bad() { # BAD WHY KERNEL CONFIG-LINE...
	local name=trial-$1 disk=$work/$1.disk
	updated "$disk" || { report 1 "$name: release 2 is put on the disk" && return; }
	start "$name" "$disk" "$1" "$3" "${@:4}"
	started "$name" "2.0 2.0 2.0 1.0"
	tap "$name: each start is counted" grep -q 'trial: appliance 2.0 on /dev/vda5 is on trial, 1 try left after this one' "$work/$name.said"
	tap "$name: the console says why it is passed over" \
		grep -q "trial: appliance 2.0 on /dev/vda5 is passed over: bad: its tries are used up; $2" "$work/$name.said"
	tap_is "$name: so does state.json" "$(guest_block "$name" state-1.0 | jq -r '.passedOver[0] | .slot, .why')" \
		"appliance 2.0 on /dev/vda5
bad: its tries are used up; $2"
	tap "$name: so does status" grep -q "^passed  *over appliance 2.0 .*its tries are used up" <(guest_block "$name" status-1.0)
	tap "$name: so do the slots" grep -qE "^ +5  appliance 2.0 +bad: its tries are used up; $2" <(slots "$disk")
	tap "$name: release 1 is good, and next" grep -qE '^ +2  appliance 1.0 +good; started next$' <(slots "$disk")
}

hang() {
	local -a qemu_extra=(-device i6300esb)
	bad hang "the last start was ended by the watchdog" 6.12-generic "[failure]" "watchdog = 10s"
}

# The record in the firmware's variables.
firmware() {
	local name=trial-firmware disk=$work/firmware.disk data
	cp --reflink=auto --sparse=always "$work/one" "$disk" && sfdisk -q --delete "$disk" 8 &&
		disk_install "$disk" 5 "$two" && data=$(guest_disk "$name" bad=panic lib trial) || return
	qemu_restarts=yes qemu_boot_disk "$name" "$disk" virtio 512 400 "$data"
	said "$name"
	started "$name" "2.0 2.0 2.0 1.0"
	tap_is "$name: kept with the firmware" "$(guest_block "$name" state-1.0 | jq -r .trial.kept)" efi
}

# Nowhere: the newest, as ever, and it is said once.
nowhere() {
	local name=trial-nowhere disk=$work/nowhere.disk
	cp --reflink=auto --sparse=always "$work/one" "$disk" && sfdisk -q --delete "$disk" 8 && disk_install "$disk" 5 "$two" || return
	start "$name" "$disk" none 6.12
	started "$name" 2.0
	tap_is "$name: starts are not counted, which is said" "$(grep -c 'trial: starts are not counted' "$work/$name.said")" 1
}

# Two images, and neither was ever called good: the newest that verifies.
hopeless() {
	local name=trial-hopeless disk=$work/hopeless.disk
	updated "$disk" && "$underlay" rollback --disk "$disk" >/dev/null && "$underlay" slots forget 1.0 --disk "$disk" >/dev/null || return
	disk_wipe "$disk" 3 # release 1 does not verify any more
	start "$name" "$disk" none 6.12
	started "$name" 2.0
	tap "$name: it says so" grep -q 'trial: appliance 2.0 on /dev/vda5 is started for want of another; it is bad' "$work/$name.said"
}

back() {
	local name=trial-back disk=$work/back.disk
	updated "$disk" || return
	start "$name" "$disk" back 6.12
	start "$name-next" "$disk" none 6.12
	started "$name-next" 1.0
	tap "$name: the console says why" grep -q 'trial: appliance 2.0 on /dev/vda5 is passed over: bad: taken back by command' "$work/$name-next.said"
	tap "$name: forgotten, it is new" "$underlay" slots forget 2.0 --disk "$disk"
	start "$name-again" "$disk" none 6.12
	started "$name-again" 2.0
}

start trial-first "$work/one" none 6.12
started trial-first 1.0
tap "what came up is good" grep -qE '^ +2  appliance 1.0 +good; started next$' <(slots "$work/one")
cp --reflink=auto --sparse=always "$work/one" "$work/good"
tap_case bad panic "the last start ended before anybody called it good" 6.12
tap_case bad never "the last start ended before anybody called it good" 6.12
tap_case hang
tap_case back
tap_case firmware
tap_case nowhere
tap_case hopeless
tap_cases
tap_end
