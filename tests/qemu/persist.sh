#!/usr/bin/env bash
# An upper that survives: built under release 1, booted again, moved to release 2 and back, in each way to a
# right database. What stays valid and what does not is computed here from what Nix said before and from the files
# that there are, and must be so exactly.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/namespace.sh
for lib in tap cache appliance qemu image upper; do
	. "tests/lib/$lib.sh"
done
work=$qemu_dir/persist
mkdir -p "$work"
kernel=6.12

# registration FILE: "path reference..." a line, of what nix-store --dump-db printed.
registration() {
	awk 'function next_line() {getline line; return line}
		{path = $0; next_line(); next_line(); next_line(); n = next_line()
		printf "%s", path; for (i = 0; i < n; i++) printf " %s", next_line(); print ""}' "$1"
}

# lost BEFORE STORE-NAMES LOWER-NAMES: of the registered paths those that are nowhere any more, and all that refer to
# them; a path that the lower has refers to what the lower says.
lost() {
	registration "$1" | awk -v names="$2" -v lower="$3" '
		BEGIN {
			while ((getline name <names) > 0) there["/nix/store/" name] = 1
			while ((getline name <lower) > 0) there["/nix/store/" name] = sealed["/nix/store/" name] = 1
		}
		{paths[NR] = $1; line[NR] = $0; if (!($1 in there)) bad[$1] = 1}
		END {
			do {
				found = 0
				for (i = 1; i <= NR; i++) {
					if (paths[i] in bad || paths[i] in sealed) continue
					n = split(line[i], word, " ")
					for (j = 2; j <= n; j++)
						if (word[j] in bad) {bad[paths[i]] = 1; found = 1; break}
				}
			} while (found)
			for (path in bad) print path
		}' | sort
}

names_of() {
	registration "$1" | cut -d ' ' -f 1 | sort
}

# moved NAME BEFORE RELEASE: what went with this move is what had to, and the report says the same. (An attached
# database has rows of those sealed paths only that the upper's need, and that Nix was asked of in this boot; that all
# sealed paths are valid, the scenario asks.)
moved() {
	local name=$1 before=$work/$2.registration
	ls "$(appliance_store "$nix:$3")/nix/store" | grep -v '^\.links$' >"$work/$name.lower"
	lost "$before" "$work/$name.upper" "$work/$name.lower" >"$work/$name.lost"
	guest_block "$name" registration >"$work/$name.registration"
	comm -23 <(names_of "$before") <(names_of "$work/$name.registration") |
		grep -vxFf <(sed 's|^|/nix/store/|' "$work/$name.lower") >"$work/$name.gone"
	# On the way back an attached database has no row of what only release 2 sealed: nothing is there to go.
	if [ "$name" = attach-back ]; then
		tap_none "$name: nothing had to go" cat "$work/$name.lost"
		tap_none "$name: nothing went" cat "$work/$name.gone"
	else
		tap "$name: what is valid no more is what had to go" same "$work/$name.lost" "$work/$name.gone"
	fi
	guest_block "$name" report >"$work/$name.report"
	tap "$name: the report names what was invalidated of the upper" reported "$name" "$3"
}

# The report of what is lost names what the upper built, and beside it only sealed paths of the other release.
reported() {
	local built=$work/$1.built other=$((3 - $2))
	sed 's|.*/||' "$work/$1.lost" | grep -xFf "$work/$1.upper" >"$built"
	jq -r '.invalidated[]?.name' "$work/$1.report" | sort >"$work/$1.reported"
	# Each move costs the upper something; what release 2 sealed, and release 1 has not, went with its files before.
	[ -s "$built" ] || [ "$2" = 1 ] && [ -s "$work/$1.reported" ] || { echo "nothing was lost or reported" && return 1; }
	comm -23 "$built" "$work/$1.reported" >"$work/$1.unreported"
	comm -13 "$built" "$work/$1.reported" | grep -vxFf <(ls "$(appliance_store "$nix:$other")/nix/store") |
		grep -v -- '-underlay-roots$' >>"$work/$1.unreported"
	cat "$work/$1.unreported"
	[ ! -s "$work/$1.unreported" ]
}

# boot NAME RELEASE PART...: the upper of this case under that release.
boot() {
	local name=$1 release=$2 image data
	shift 2
	if upper_mount "$work/$case.disk" "$work/$case.mnt" 2>/dev/null; then
		# What the release before superseded is the upper's again, where this one does not have it.
		{ upper_names "$work/$case.mnt" && ls "$work/$case.mnt"/quarantine/*-superseded 2>/dev/null | grep -xE '[0-9a-z]{32}-.*'; } |
			sort -u >"$work/$name.upper"
		upper_umount "$work/$case.mnt"
	fi
	image=$(image_appliance "$nix:$release") &&
		data=$(guest_disk "$name" "release=$release" "mode=$mode" "${paths[@]}" lib "$@") || return 1
	qemu_boot "$name" "$(cache_kernel $kernel)" "$initrd" "appliance.scenario=disk" 300 \
		"$image" "$work/$case.disk:rw" "$data"
	guest_checks "$name" disk
	guest_block "$name" state >"$work/$name.state"
	tap_is "$name: mode of the database, and the upper" \
		"$(jq -r '"\(.database.mode) \(.upper.persistent)"' "$work/$name.state")" "$mode true"
}

persist() {
	local case=$1 nix=$2 mode=$3 initrd
	local -a paths=()
	image_config "$work/$case.conf" "[upper]" "type = disk" "device = PARTLABEL=upper" "prepare = format" \
		"[database]" "mode = $mode"
	upper_disk "$work/$case.disk" 256
	initrd=$(image_initrd $kernel "$work/$case.conf") || return 1

	boot "$case-build" 1 recipe build || return 1
	mapfile -t paths < <(guest_says "$case-build" path)
	tap_is "$case: six paths were built" "${#paths[@]}" 6
	guest_block "$case-build" registration >"$work/$case-build.registration"

	boot "$case-again" 1 recipe remount again
	guest_block "$case-again" registration >"$work/$case-again.registration"
	tap "$case: the boots tell of registered paths" test -s "$work/$case-build.registration" -a -s "$work/$case-again.registration"
	tap_none "$case: nothing is valid no more after another boot" comm -23 \
		<(names_of "$work/$case-build.registration") <(names_of "$work/$case-again.registration")

	boot "$case-upgrade" 2 "gone=needsGone needsNeedsGone" "stay=kept needsChanged big builtLater" moved
	moved "$case-upgrade" "$case-again" 2
	boot "$case-back" 1 "gone=needsGone needsNeedsGone" "stay=kept needsChanged big builtLater" moved
	moved "$case-back" "$case-upgrade" 1
}

for nix in 2.26 $(if tap_matrix; then echo 2.8; fi); do
	for release in 1 2; do
		image_appliance $nix:$release >/dev/null || { echo "not ok - the images are made" && exit 1; }
	done
done
tap_case persist attach 2.26 attach
tap_case persist rebuild 2.26 rebuild
tap_row persist rebuild-2.8 2.8 rebuild
tap_cases
tap_end
