#!/usr/bin/env bash
# The sealed image's disk errs once at each block of its names, its directories and its inodes, and at those of the hash
# tree over them: while the machine boots, and in the running system; and processes are killed while they wait for a
# slow disk. The upper has all that would be seen if a layer's guard went away. Each answer must be an error, or what is
# sealed; and the next one what is sealed.
#
# ATTACKS=all (`make check-attacks`): both kernels, both kinds of database, each block; else a sample.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/namespace.sh
for lib in tap cache appliance qemu image upper attacks; do
	. "tests/lib/$lib.sh"
done
work=$qemu_dir/seal-errors
rm -rf "$work"
mkdir -p "$work"
image=$(image_appliance 2.26:1) && store=$(appliance_store 2.26:1) || { echo "not ok - the image is made" && exit 1; }
attacks_prepare || exit 1
everything=$([ "${ATTACKS:-}" = all ] && echo yes)

# ---- the blocks ---------------------------------------------------------------------------------------

read -r data_start data_size <<<"$(image_partition "$image" 1)"
read -r hash_start _ <<<"$(image_partition "$image" 2)"
tree_start=$((hash_start + $("$underlay" image inspect --json "$image" | jq '.slots[0].descriptor.hashStart')))

# Those of the data, from 0; and sectors of the disk: theirs, and those of the tree's root and lowest level.
"$underlay" image locate "$image" "0-$((data_size / 4096 - 1))" |
	sed -n "s/^data block \([0-9]*\): .*\(the directory's entries\|its inode\|the filesystem's superblock\)\$/\1/p" |
	sort -nu >"$work/blocks"
while read -r block; do
	echo $(((data_start + block * 4096) / 512))
done <"$work/blocks" >"$work/sectors"
{
	echo $((tree_start / 512))
	while read -r block; do
		echo $(((tree_start + 4096 + block / 128 * 4096) / 512))
	done <"$work/blocks"
} | sort -nu >"$work/sectors.tree"
tap "blocks of names, directories and inodes, and of the tree over them" \
	test "$(wc -l <"$work/sectors")" -gt 40 -a "$(wc -l <"$work/sectors.tree")" -gt 20
tap "the names and the store are among them" test "$("$underlay" image locate "$image" $(tr '\n' ' ' <"$work/blocks") |
	grep -c "^data block .*: /nix/\(\.underlay/names\|store\), the directory's entries$")" -ge 3

rule() { # EVENT STATE SECTOR
	printf '[inject-error]\nevent = "%s"\niotype = "read"\nerrno = "5"\nonce = "on"\nsector = "%d"\n' "$1" "$3"
	[ -z "$2" ] || printf 'state = "%d"\n' "$2"
}

# QEMU's blkdebug: from the start, each sector of the list once.
errs_at_once() {
	while read -r sector; do
		rule none "" "$sector"
	done
}

# Each write to the disk goes on to the next state, and has the next sector of the list err.
errs_after_writes() {
	local state=1 sector
	while read -r sector; do
		printf '[set-state]\nevent = "pwritev"\nstate = "%d"\nnew_state = "%d"\n' $state $((state + 1))
		rule pwritev $state "$sector"
		state=$((state + 1))
	done
}

# ---- the boots ----------------------------------------------------------------------------------------

"$attack" record "$work/image/nix/store" >"$work/record"
# An upper that was used with this very image: what lies in it under a sealed name is not swept.
upper_disk "$work/upper" 64 && upper_format "$work/upper" && at=$work/mnt && upper_mount "$work/upper" "$at" && mkdir "$at/kept" &&
	attack_entries && attack_origin && attack_system || { echo "not ok - the attack is written" && exit 1; }
umount "$at"
for mode in attach rebuild; do
	cp --sparse=always "$work/upper" "$work/upper.$mode" && upper_mount "$work/upper.$mode" "$at" || exit 1
	"$underlay" image inspect --json "$image" | jq --arg mode $mode '.slots[0].descriptor | {format: 1, identity: .rootHash,
		name, version, database: $mode, checkedId: 0, databaseSize: 0, databaseTime: 0, upperPaths: 0}' >"$at/lower.json"
	umount "$at"
done
for victim in "${!victims[@]}"; do
	grep "^$victim[ /]" "$work/record"
done >"$work/record.attacked"
guest=$(guest_disk seal-errors "+$work/record" "+$work/record.attacked" "+$attack" +tests/guest/seal-errors-rounds.sh seal-errors) || exit 1

# boot KERNEL MODE HOW ROUNDS DISK [FAILURE]: as $name. FAILURE: what the system does that cannot read its own files.
boot() {
	local kernel=$1 mode=$2 config=$work/$name.conf
	cp --sparse=always "$work/upper.$mode" "$work/$name.upper"
	image_config "$config" "[upper]" "type = disk" "device = PARTLABEL=upper" "on-missing = fail" "[database]" "mode = $mode"
	qemu_boot "$name" "$(cache_kernel "$kernel")" "$(image_initrd "$kernel" "$config")" \
		"appliance.scenario=disk appliance.failure=${6:-} errors=$3 rounds=$4" 2400 "$5" "$work/$name.upper:rw" "$guest"
	rm -f "$work/$name.upper"
}

# The sectors of the list at which the guest's kernel saw an error.
seen() {
	grep -ao 'I/O error, dev vda, sector [0-9]*' "$qemu_dir/$name.console" | sed 's/.* //' | sort -nu >"$work/$name.seen"
	sort -n "$1" | while read -r sector; do
		awk -v first="$sector" '$1 <= first && first < $1 + 256 {found = 1} END {exit !found}' "$work/$name.seen" && echo "$sector"
	done | wc -l
}

verdict() {
	guest_found "$name"
	tap "$name: nothing unsealed was served" lacks -a 'say unsealed\|say wrong' "$qemu_dir/$name.results"
	tap_is "$name: the scenario ran to its end" "$(tail -n 1 "$qemu_dir/$name.results")" "end disk 0"
	tail -n 1 "$qemu_dir/$name.results" | grep -q '^end disk 0' || qemu_show "$name"
	guest_says "$name" rounds | sed "s/^/# $name: rounds /"
	guest_says "$name" looks | sed "s/^/# $name: looks /"
}

# What fails starts the machine again, until all errors were met.
booting() {
	local name=errors-boot-$2-$1 qemu_restarts=yes failed restarts sectors=$work/errors-boot-$2-$1.sectors
	cat "$work"/sectors "$work"/sectors.tree | awk -v every="$3" 'NR % every == 1 % every' >"$sectors"
	errs_at_once <"$sectors" >"$work/$name.rules"
	boot "$1" "$2" boot 1 "blkdebug:$work/$name.rules:$image" reboot
	verdict
	failed=$(grep -ac '^.*underlay: failure [0-9]* ([a-z-]*); rebooting' "$qemu_dir/$name.console")
	restarts=$(grep -ac 'Linux version ' "$qemu_dir/$name.console")
	echo "# $name: $(seen "$sectors") of $(wc -l <"$sectors") sectors erred; started $restarts times, $failed ended by a sentence"
	tap "$name: the system restarts itself for errors, not for ever" \
		test "$(grep -c '^say restarted ' "$qemu_dir/$name.results")" -le 10
	tap "$name: errors kept it from booting, and were told" test "$failed" -gt 0 -a "$restarts" -gt 1
}

running() {
	local name=errors-running-$2-$1 n sectors=$work/errors-running-$2-$1.sectors
	awk -v every="$3" 'NR % every == 0' "$work/sectors" >"$sectors"
	n=$(wc -l <"$sectors")
	errs_after_writes <"$sectors" >"$work/$name.rules"
	cp --reflink=auto "$image" "$work/$name.img"
	boot "$1" "$2" running "$n" "blkdebug:$work/$name.rules:$work/$name.img:rw"
	rm -f "$work/$name.img"
	verdict
	# By what the guest saw: the kernel's log leaves some of many out.
	echo "# $name: $(guest_says "$name" erred) of $n looks met an error, the log has $(seen "$sectors") of $n sectors"
	tap "$name: most looks met an error" test "$(guest_says "$name" erred)" -ge $((n * 3 / 4))
}

slow() {
	local name=errors-slow-$2-$1
	boot "$1" "$2" slow "$3" "$image,throttling.iops-read=30"
	verdict
}

if [ -z "$everything" ]; then
	tap_case running 6.12 attach 4
	tap_case slow 6.1 rebuild 6
else
	for kernel in 6.12 6.1; do
		for mode in attach rebuild; do
			tap_case booting $kernel $mode 1
			tap_case running $kernel $mode 1
			tap_case slow $kernel $mode 40
		done
	done
fi
tap_cases
tap_end
