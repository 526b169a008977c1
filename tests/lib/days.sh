# Three boots of one machine, and Nix in each: it builds, deletes, collects, adds again, verifies and optimises; after
# each step what Nix says, what /nix/store shows and what the layers hold are compared with what was done, and df says
# that space came back when underlay-init(8) says it does (tests/guest/days.sh, day1.sh to day3.sh). To be sourced after
# upper.sh, by a script that has
#
#   boot_day NAME DIR DISK   boots the image $image and the disk DIR/disk in database mode $mode, with DISK as the
#                            scenario's; what the guest says goes to $qemu_dir/NAME.results; its status is the end's
#
#   days NIX:MODE...         all of it for each; Nix: of tests/lib/appliance.sh
days_work=$qemu_dir/days

days_sealed() {
	local sealed
	sealed=$(appliance_store "$1")/nix/store && rm -rf "$2" && mkdir -p "$2" || return 1
	sealed_lists "$sealed" "$2"
	: >"$2/have"
	: >"$2/gone"
}

# one_day DAY: what the guest wrote down of it goes into the next.
one_day() {
	local name=$case-day$1 data before=$SECONDS
	data=$(guest_disk "$name" "day=$1" "mode=$mode" "empty=$empty" "+$dir/sealed" "+$dir/sealed.names" \
		"+$dir/have" "+$dir/gone" lib sealed days "day$1") || return 1
	boot_day "$name" "$dir" "$data"
	tap "$name: the machine comes to its end" test $? = 0
	guest_found "$name"
	tap_is "$name: the scenario too" "$(tail -n 1 "$qemu_dir/$name.results")" "end disk 0"
	tap_is "$name: mode of the database, and the upper" \
		"$(guest_block "$name" state | jq -r '"\(.database.mode) \(.upper.persistent)"')" "$mode true"
	guest_block "$name" have >"$dir/have"
	guest_block "$name" gone >"$dir/gone"
	guest_says "$name" space | sed "s/^/# $name: KiB used: /"
	guest_says "$name" nix | sed "s/^/# $name: Nix says: /"
	echo "# $name: $((SECONDS - before)) s"
	[ "$(tail -n 1 "$qemu_dir/$name.results")" = "end disk 0" ]
}

days_of() {
	local nix=${1%:*} mode=${1#*:} image empty=0 day
	local case=$days_name-$nix-$mode dir=$PWD/$days_work/$days_name-$nix-$mode
	days_sealed "$nix:1" "$dir" && image=$(image_appliance "$nix:1") || return 1
	upper_disk "$dir/disk" 1024
	for day in 1 2 3; do
		one_day $day || return 1
		[ $day != 1 ] || empty=$(guest_says "$case-day1" space | sed -n 's/^begin //p')
	done
	rm "$dir/disk"
}

# days_name: of the script that calls this, so that two of them may run at once.
days() {
	local days_name=$1 each
	shift
	for each; do
		image_appliance "${each%:*}:1" >/dev/null || { echo "not ok - the image for $each is made" && exit 1; }
	done
	for each; do
		tap_case days_of "$each"
	done
	tap_cases
}
