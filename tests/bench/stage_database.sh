#!/usr/bin/env bash
# What the boot's stages upper, reconcile and database cost over lowers of 1,000 to 1,000,000 paths: attached and
# rebuilt, on a tmpfs and on ext4, at the first boot of an upper and at later ones. On this machine, without QEMU.
# Prints a table of medians in ms, and writes build/bench-stage-database.json.
#
#   tests/bench/stage_database.sh [ROUNDS [PATHS...]]
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/stages.sh
rounds=${1:-5}
sizes=("${@:2}")
[ ${#sizes[@]} -gt 0 ] || sizes=(1000 100000 1000000)

# large PATHS: a lower whose manifest and database have so many paths, and the list of roots one.
large() {
	local tree=$tmp/$1 manifest=$tmp/$1/nix/.underlay/manifest
	make_tree "$tree" && rm -r "$tree"/nix/var/nix/db && mkdir "$tree/nix/var/nix/db" &&
		build/tests/bench/gen_store 7 "$1" -o "$manifest" >/dev/null &&
		"$underlay" db build "$manifest" -o "$tree/nix/var/nix/db" >/dev/null &&
		sed -i "s/\"paths\": 3/\"paths\": $1/" "$tree/nix/.underlay/image.json"
	echo $system >"$tree/nix/.underlay/roots"
	lower "$1"
	rm -r "$tree"
}

# times WHICH PATHS MODE POLICY-LINE...: a boot, and a line of JSON.
times() {
	run 'jq -c --arg which "'"$1"'" --argjson paths '"$2"' "
		def us(\$n): [.timeline.stages[] | select(.name == \$n) | .us] | add // 0;
		{paths: \$paths, mode: .database.mode, which: \$which,
		 upper: us(\"upper\"), reconcile: us(\"reconcile\"), database: us(\"database\"), said: .database.us}" "$run/state.json"
		"$underlay" mark-clean --upper "$root/nix/.rw" >/dev/null' "" "[database]" "mode = $3" "${@:4}" \
		2>"$tmp/log" || { cat "$tmp/log" >&2 && exit 3; }
}

for paths in "${sizes[@]}"; do
	large "$paths"
	lower=$device
	for mode in attach rebuild; do
		for ((i = 0; i < rounds; i++)); do
			device=$lower
			times tmpfs "$paths" $mode
			truncate -s 3G "$tmp/disk"
			disk=$(losetup --find --show "$tmp/disk") || exit 3
			upper=("[upper]" "type = disk" "device = $disk" "prepare = format")
			times ext4-first "$paths" $mode "${upper[@]}"
			times ext4-later "$paths" $mode "${upper[@]}"
			losetup -d "$disk"
			rm "$tmp/disk"
		done
	done
	rm "$tmp/$paths.img"
done >"$tmp/times"
jq -s 'def median: sort | .[length / 2 | floor];
	group_by(.mode, .which, .paths) | map({mode: .[0].mode, which: .[0].which, paths: .[0].paths,
		upper_us: (map(.upper) | median), reconcile_us: (map(.reconcile) | median),
		database_us: (map(.database) | median), said_us: (map(.said) | median)})' "$tmp/times" >build/bench-stage-database.json
printf '%-8s %-11s %8s %12s %12s %12s %14s\n' mode upper paths "upper ms" "reconcile ms" "database ms" "database.us ms"
jq -r '.[] | [.mode, .which, .paths, .upper_us / 1000, .reconcile_us / 1000, .database_us / 1000, .said_us / 1000] | @tsv' \
	build/bench-stage-database.json | while read -r mode which paths numbers; do
	# shellcheck disable=SC2086 # columns
	printf '%-8s %-11s %8s %12.1f %12.1f %12.1f %14.1f\n' "$mode" "$which" "$paths" $numbers
done
