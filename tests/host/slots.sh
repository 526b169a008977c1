#!/usr/bin/env bash
# What became of the images on a disk, as `slots`, `rollback`, `disk show` and `update` see it and change it; on the
# disk's file, with the record as boots leave it. The boots themselves are in tests/qemu/trials.sh.
set -u
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache sealed disk; do
	. "tests/lib/$lib.sh"
done
underlay=$(realpath "${UNDERLAY:-build/underlay}")
set_trial=$PWD/build/tests/tools/set_trial
dir=$(mktemp -d)
tap_at_exit 'rm -rf "$dir"'

{
	kernel=$(cache_kernel 6.12) && identity seal && make_store && head -c 1000000 /dev/urandom >"$dir/initrd" &&
		"$underlay" uki build -o "$dir/uki" --kernel "$kernel" --initrd "$dir/initrd"
	for version in 1.0 1.1 1.2 1.3; do
		build "$dir/$version" $version --key "$dir/seal.key" --cert "$dir/seal.crt" || exit 1
	done
	"$underlay" disk build -o "$dir/fresh" --image "$dir/1.0" --uki "$dir/uki" --slot-size 6M --upper-size 8M
} >"$dir/out" 2>&1 || { report 1 "images and a disk are made" && exit 1; }

hash_of() { "$underlay" image inspect --json "$dir/$1" | jq -r '.slots[0].rootHash'; }
# trial DISK VERSION WORD...
trial() { "$set_trial" "$dir/$1" "$(hash_of "$2")" "$2" "${@:3}"; }
slots() { "$underlay" slots --disk "$dir/$1" "${@:2}"; }
rollback() { "$underlay" rollback --disk "$dir/$1" "${@:2}"; }
update() { "$underlay" update "$dir/$2" --disk "$dir/$1" --cert "$dir/seal.crt" "${@:3}"; }
copy() { cp --sparse=always "$dir/$1" "$dir/$2"; }
# The slots' lines, without the first.
lines() { slots "$1" | sed -n '2,$s/  */ /gp'; }
first() { "$underlay" disk show --json "$dir/$1" | jq -r '[.parts[] | select(.first) | .version] | join(" ")'; }

# ---- what is shown ----

tap_is "an image that was never started" "$(lines fresh)" " 2 demo 1.0 new; started next"
copy fresh disk && update disk 1.1 >/dev/null && trial disk 1.0 good
tap_is "a newer one beside a good one" "$(lines disk)" " 5 demo 1.1 new; started next
 2 demo 1.0 good"
trial disk 1.1 begin
tap_is "on trial" "$(lines disk)" " 5 demo 1.1 on trial, 2 tries left; the last start ended before anybody called it good; started next
 2 demo 1.0 good"
trial disk 1.1 begin begin
tap_is "with its tries used up" "$(lines disk)" " 5 demo 1.1 bad: its tries are used up; the last start ended before anybody called it good
 2 demo 1.0 good; started next"
tap_is "disk show says the same" "$("$underlay" disk show "$dir/disk" | sed -n 's/.*used; //p')" \
	"good; tried first: what is newer had its tries in vain
bad: its tries are used up; the last start ended before anybody called it good"
tap_is "in JSON" "$(slots disk --json | jq -c '[.kept, (.images[] | [.slot, .version, .state, .triesLeft, .reason, .next])]')" \
	'["partition",[5,"1.1","trying",0,"unknown",false],[2,"1.0","good",null,null,true]]'
copy disk gone && update gone 1.2 --slot 5 >/dev/null
tap_is "an image that is not there any more" "$(lines gone | tail -n 1)" \
	" an image 1.1 bad: its tries are used up; the last start ended before anybody called it good; not on this disk"
before=$(sha256sum <"$dir/gone")
slots gone >/dev/null
tap_is "to look changes nothing" "$(sha256sum <"$dir/gone")" "$before"

# ---- what is changed ----

tap "forgotten" slots disk forget 1.1
tap_is "it is new" "$(lines disk | head -n 1)" " 5 demo 1.1 new; started next"
tap "forgotten twice: is refused" fails 1 'nothing is known of an image of this version' slots disk forget 1.1
tap "forget without a version: is wrong use" fails 2 'VERSION is missing' slots disk forget
tap "a version without forget: is wrong use" fails 2 'one argument too many' slots disk list 1.1
tap "back to the older one" grep -q 'the next boot starts demo 1.0' <(rollback disk)
tap_is "it is next" "$(lines disk) $(first disk)" " 5 demo 1.1 bad: taken back by command
 2 demo 1.0 good; started next 1.0"
tap "further back: is refused" fails 1 'no slot has one older than 1.0' rollback disk
tap "to what was taken back: is refused" fails 1 'its tries are used up, or it was taken back itself' rollback disk 1.1
tap "to what is not there: is refused" fails 1 'no slot has this version of demo' rollback disk 9
tap "to what starts anyway: is refused" fails 1 'the next boot starts it anyway' rollback fresh 1.0
slots disk forget 1.1 >/dev/null
tap "to a version by name" rollback disk 1.0
tap_is "is the same" "$(first disk)" 1.0

# ---- an update looks at it ----

copy disk vain
tap "what was tried in vain: is refused" fails 1 'demo 1.1 was tried on this machine, and is bad' update vain 1.1
copy disk next
tap "the next one takes its place" update next 1.2
tap_is "not the good one's" "$(lines next | head -n 2)" " 5 demo 1.2 new; started next
 2 demo 1.0 good"
copy next only
tap "another, before that is good: takes its place, too" update only 1.3
tap "the only good one by its number: is refused" fails 1 '2: the only image that is known to be good' update only 1.2 --slot 2 --allow-older
trial only 1.3 good
tap "once there is another" update only 1.2 --slot 2 --allow-older
# 1.1 was taken back: 1.0.5 is newer than all that would be started.
copy disk lower && build "$dir/1.0.5" 1.0.5 --key "$dir/seal.key" --cert "$dir/seal.crt" >/dev/null 2>&1
tap "newer than what is not bad" update lower 1.0.5
tap_is "is next" "$(first lower)" 1.0.5

# ---- a disk without a record ----

copy fresh without && sfdisk -q --delete "$dir/without" 8
tap "slots: is refused" fails 3 'it keeps no record of them' slots without
tap "an update is as ever" update without 1.1
tap_is "the newest is first" "$(first without)" 1.1
copy disk garbled && dd if=/dev/urandom of="$dir/garbled" bs=512 seek="$(disk_part "$dir/garbled" 8 start)" count=256 conv=notrunc status=none
tap_is "what is no record: all are new" "$(lines garbled)" " 5 demo 1.1 new; started next
 2 demo 1.0 new"
tap "and it can be written again" rollback garbled
tap_is "as it should" "$(first garbled)" 1.0
tap_end
