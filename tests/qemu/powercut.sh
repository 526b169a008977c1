#!/usr/bin/env bash
# The power is cut at write requests spread over everything that writes to the upper; each cut is followed by a boot,
# which must find every valid path valid and whole. QEMU is killed in the middle of its write, and of what was not
# flushed by then a disk with a volatile cache keeps what it likes (tests/tools/cut_disk.c).
#
# POWERCUT_POINTS: how many cuts; `make check-powercut` wants hundreds, of all phases; else a sample is made of some.
# The table is also in build/powercut.json. POWERCUT_SEED: another one makes other disks lose other writes.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/namespace.sh
for lib in tap cache appliance qemu image upper; do
	. "tests/lib/$lib.sh"
done
points=${POWERCUT_POINTS:-10} seed=${POWERCUT_SEED:-1}
work=$qemu_dir/powercut
cut_disk=${underlay%/*}/tests/tools/cut_disk
kernel=6.12
rm -rf "$work"
mkdir -p "$work"
: >"$work/results"

# name            mode     start disk   release  scenario
all_phases='
prepare-attach    attach   blank        1        cut-nothing
prepare-rebuild   rebuild  blank        1        cut-nothing
build-attach      attach   base         1        cut-build
build-rebuild     rebuild  base         1        cut-build
reconcile-attach  attach   base         2        cut-nothing
reconcile-rebuild rebuild  base         2        cut-nothing
join-attach       attach   base         1        cut-nothing
join-rebuild      rebuild  base         1        cut-nothing
sweep-attach      attach   garbage      1        cut-nothing
sweep-rebuild     rebuild  garbage      1        cut-nothing
old-attach        attach   old          1        cut-nothing
old-rebuild       rebuild  old          2        cut-nothing
replace-database  rebuild  attach-base  1        cut-nothing
'
sample='build-attach reconcile-rebuild join-attach sweep-attach old-rebuild'

declare -A mode_of start_of release_of scenario_of writes_of
phases=()
while read -r phase mode start release scenario; do
	[ -n "$phase" ] || continue
	[ "$points" -ge 100 ] || grep -qw -- "$phase" <<<"$sample" || continue
	phases+=("$phase")
	mode_of[$phase]=$mode start_of[$phase]=$start release_of[$phase]=$release scenario_of[$phase]=$scenario
done <<<"$all_phases"

# boot NAME MODE RELEASE SCENARIO-DISK DISK [CMDLINE]
boot() {
	qemu_boot "$1" "$(cache_kernel $kernel)" "${initrd_of[$2]}" "quiet appliance.scenario=disk ${6:-}" 240 \
		"${image_of[$3]}" "$5:rw" "$4"
}

# boot_through NAME MODE RELEASE SCENARIO-DISK DISK [CUT-OPTION...]: the upper's disk behind cut_disk; its line is in
# $work/NAME.log.
boot_through() {
	local name=$1 socket=$work/$1.socket server
	rm -f "$socket" "$work/$name.log"
	"$cut_disk" "$socket" "$5" --log "$work/$name.log" "${@:6}" 2>"$work/$name.server" &
	server=$!
	until [ -e "$socket" ]; do sleep 0.02; done
	boot "$name" "$2" "$3" "$4" "nbd+unix:///?socket=$socket"
	# A QEMU that never came leaves it waiting.
	[ ! -e "$socket" ] || kill "$server"
	wait "$server"
}

# What must be valid after a boot in a phase: what was built, but for what release 2 takes away.
expected() {
	local gone='^$'
	case ${start_of[$1]} in
	blank) return ;;
	esac
	[ "${release_of[$1]}" = 1 ] || gone='needsGone\|needsNeedsGone'
	guest_says "cut-base-${base_of[$1]}" path | grep -v "^\($gone\)=" | sed 's/.*=//' | paste -sd ,
}

# An upper as an older Underlay left it: its store above the sealed one, in which some entries have sealed names.
make_old() {
	local n=0 name names at=$work/mnt
	upper_mount "$1" "$at" || return 1
	mkdir -p "$at/store" "$at/work/work"
	cp -a "$at"/kept/. "$at"/sessions/*/up/. "$at/store/"
	rm -rf "$at/kept" "$at/sessions" "$at/trash" "$at/store/.links" "$at/clean"
	take_lines names ls "$(appliance_store 2.26:1)/nix/store" || return
	for name in "${names[@]:0:40}"; do
		case $((n++ % 4)) in
		0) mkdir -p "$at/store/$name/bin" && echo bad >"$at/store/$name/bin/init" ;;
		1) echo bad >"$at/store/$name" ;;
		2) mknod "$at/store/$name" c 0 0 ;;
		3) ln -s /etc/passwd "$at/store/$name" ;;
		esac
	done
	upper_umount "$at"
}

# What a collector left: rows that went, files that stayed; and what an interrupted build left.
make_garbage() {
	local n at=$work/mnt
	upper_mount "$1" "$at" || return 1
	for n in $(seq 40); do
		mkdir -p "$at/kept/$(printf '%032d' "$n")-garbage/a/b" && echo "$n" >"$at/kept/$(printf '%032d' "$n")-garbage/a/b/c"
		: >"$at/kept/$(printf '%032d' "$n")-garbage.lock"
	done
	touch "$at/var/nix/db/db.sqlite"
	upper_umount "$at"
}

copy() {
	cp --sparse=always "$1" "$2"
}

# ---- the disks that the phases start from, and how much each phase writes -------------------------

declare -A initrd_of image_of base_of
for release in 1 2; do
	image_of[$release]=$(image_appliance 2.26:$release) || exit 1
done
for mode in attach rebuild; do
	image_config "$work/$mode.conf" "[upper]" "type = disk" "device = PARTLABEL=upper" "prepare = format" \
		"[database]" "mode = $mode"
	initrd_of[$mode]=$(image_initrd $kernel "$work/$mode.conf") || exit 1
done
declare -A disk_of
for scenario in cut-nothing cut-build cut-verify; do
	disk_of[$scenario]=$(guest_disk $scenario lib $scenario) || exit 1
done
disk_of[cut-base]=$(guest_disk cut-base lib recipe cut-base) || exit 1

upper_disk "$work/blank.disk" 96
for mode in attach rebuild; do
	copy "$work/blank.disk" "$work/$mode-base.disk"
	boot "cut-base-$mode" $mode 1 "${disk_of[cut-base]}" "$work/$mode-base.disk" &
done
wait
for mode in attach rebuild; do
	guest_checks "cut-base-$mode" disk
	tap_is "cut-base-$mode: six paths were built" "$(guest_says "cut-base-$mode" path | wc -l)" 6
	copy "$work/$mode-base.disk" "$work/$mode-old.disk"
	copy "$work/$mode-base.disk" "$work/$mode-garbage.disk"
	make_old "$work/$mode-old.disk" && make_garbage "$work/$mode-garbage.disk" || exit 1
done

for phase in "${phases[@]}"; do
	base_of[$phase]=${mode_of[$phase]}
	case ${start_of[$phase]} in
	blank) start=$work/blank.disk ;;
	base) start=$work/${mode_of[$phase]}-base.disk ;;
	old | garbage) start=$work/${mode_of[$phase]}-${start_of[$phase]}.disk ;;
	attach-base) start=$work/attach-base.disk base_of[$phase]=attach ;;
	esac
	copy "$start" "$work/$phase.start"
done

# The same scenario with nothing cut: its writes are what is spread over.
whole() {
	copy "$work/$1.start" "$work/$1.disk"
	boot_through "$1" "${mode_of[$1]}" "${release_of[$1]}" "${disk_of[${scenario_of[$1]}]}" "$work/$1.disk"
	guest_checks "$1" disk
	rm -f "$work/$1.disk"
}
for phase in "${phases[@]}"; do
	tap_case whole "$phase"
done
tap_cases
for phase in "${phases[@]}"; do
	writes_of[$phase]=$(sed -n 's/^writes \([0-9]*\) .* end disconnect$/\1/p' "$work/$phase.log")
	tap "$phase writes to the upper" test "${writes_of[$phase]:-0}" -gt 3
done
[ ! -e "$tap_dir/failed" ] || tap_end

# ---- the cuts -------------------------------------------------------------------------------------

# cut_at PHASE WRITE KEEP: cut, boot, judge. A line in the results: phase, write, keep, boots, lost, broken.
cut_at() {
	local phase=$1 write=$2 keep=$3 name=$1-$2-$3 boots=0 lost=- broken=- verdict paths
	copy "$work/$phase.start" "$work/$name.disk"
	boot_through "$name" "${mode_of[$phase]}" "${release_of[$phase]}" "${disk_of[${scenario_of[$phase]}]}" \
		"$work/$name.disk" --cut "$write" --keep "$keep"
	copy "$work/$name.disk" "$work/$name.after"
	paths=$({ expected "$phase" && guest_says "$name" complete; } | grep . | paste -sd ,)
	[ "${start_of[$phase]}" = blank ] || [ -n "$paths" ] || report 1 "$phase: it is known what must be valid" /dev/null
	boot "$name-after" "${mode_of[$phase]}" "${release_of[$phase]}" "${disk_of[cut-verify]}" "$work/$name.disk" \
		"appliance.paths=$paths"
	verdict=$(guest_says "$name-after" verified)
	if [ -n "$verdict" ] && [ "$(cat "$qemu_dir/$name-after.end")" = poweroff ]; then
		boots=1
		read -r lost broken <<<"$verdict"
	fi
	# A guest that was done before the write came has not been cut: no point, no failure.
	if grep -q 'end cut$' "$work/$name.log"; then
		echo "$phase $write $keep $boots $lost $broken" >>"$work/results"
	else
		echo "# $phase ended before write $write; not counted"
	fi
	tap_is "$phase: cut at write $write of ${writes_of[$phase]}, cache: $keep" \
		"boots $boots, lost $lost, broken $broken" "boots 1, lost 0, broken 0"
	if [ "$boots $lost $broken" = "1 0 0" ]; then
		rm -f "$work/$name".{disk,after,log,server} "$qemu_dir/$name".* "$qemu_dir/$name-after".*
	else
		echo "# the disk after the cut is $work/$name.after; appliance.paths=$paths"
		grep '^say \(lost\|broken\)' "$qemu_dir/$name-after.results" | sed 's/^/# /'
		qemu_show "$name-after"
	fi
}

each=$(((points + ${#phases[@]} - 1) / ${#phases[@]}))
for ((i = 0; i < each; i++)); do
	for phase in "${phases[@]}"; do
		write=$((1 + (i * 2 + 1) * writes_of[$phase] / (2 * each)))
		[ "$write" -le "${writes_of[$phase]}" ] || write=${writes_of[$phase]}
		case $((i % 5)) in
		1) keep=none ;;
		3) keep=all ;;
		*) keep=$((seed * 1000 + i)) ;;
		esac
		tap_case cut_at "$phase" "$write" "$keep"
	done
done
tap_cases
# A guest that was done before the write came was not cut; of such points alone nothing would follow.
for phase in "${phases[@]}"; do
	tap "$phase was cut at most of its points" test "$(grep -c "^$phase " "$work/results")" -gt $((each / 2))
done

# ---- what came of it ------------------------------------------------------------------------------

awk '{points[$1]++; boots[$1] += $4; if ($5 != "-") {lost[$1] += $5; broken[$1] += $6}}
	function row(phase, p, b, l, k) {printf "# %-20s %6d %9d %6d %7d\n", phase, p, b, l, k}
	BEGIN {printf "# %-20s %6s %9s %6s %7s\n", "phase", "points", "boots ok", "lost", "broken"}
	END {
		n = split(order, phase, " ")
		for (i = 1; i <= n; i++) {
			p = phase[i]
			row(p, points[p], boots[p], lost[p], broken[p])
			a += points[p]; b += boots[p]; c += lost[p]; d += broken[p]
		}
		row("all", a, b, c, d)
	}' order="${phases[*]}" "$work/results"
jq -Rn --argjson writes "$(for phase in "${phases[@]}"; do echo "\"$phase\": ${writes_of[$phase]}"; done | paste -sd , | sed 's/.*/{&}/')" '
	[inputs | split(" ") | {phase: .[0], write: (.[1] | tonumber), cache: .[2], boots: (.[3] == "1"),
		lost: (.[4] | tonumber? // null), broken: (.[5] | tonumber? // null)}]
	| {points: length, writes: $writes, phases: (group_by(.phase) | map({phase: .[0].phase, points: length,
		distinct: (map([.write, .cache]) | unique | length), boots: (map(select(.boots)) | length),
		lost: (map(.lost // 0) | add), broken: (map(.broken // 0) | add)})),
	   failed: map(select((.boots | not) or .lost != 0 or .broken != 0))}' \
	"$work/results" >"${underlay%/*}/powercut.json"
tap_end
