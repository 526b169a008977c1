#!/usr/bin/env bash
# A user's day with Nix 2.26 (tests/host/user_day/commands.sh) over a sealed store that the boot's own stages have
# opened, its database attached and rebuilt, the upper a tmpfs and an ext4. Each command says, complains and ends as
# over a plain store of the same paths on the same filesystem, but for what underlay-init(8) lists:
# tests/host/user_day/differences.txt names the lines, and each of them must be seen.
set -u
cd "$(dirname "$0")/../.." || exit 1
export TMPDIR=/dev/shm # thousands of syncs, which no real disk need do
for lib in tap cache qemu image; do
	. "tests/lib/$lib.sh"
done
. tests/lib/stages.sh
export -f in_tree

here=$PWD/tests/host/user_day
top=$tmp

# ---- what is sealed -----------------------------------------------------------------------------------

# $top/image, $top/plain (the same paths as a store that Nix itself made), $top/files: what the day gets as /mnt.
seal() {
	local start size
	mkdir -p "$top"/{sealed/nix,files,mnt}
	cp "$here"/*.nix "$here"/*.sh "${underlay%/*}/underlay-remount" "$top/files/"
	# The times of what is sealed are not those of the day.
	in_tree -b "$top/sealed/nix:/nix" -b "$top/files:/mnt" "$tree" bash /mnt/seal.sh >"$top/files/system" &&
		sqlite3 "$top/sealed/nix/var/nix/db/db.sqlite" "update ValidPaths set registrationTime = 1000000000 + id" &&
		"$underlay" manifest create -o "$top/manifest" --database "$top/sealed/nix/var/nix/db/db.sqlite" &&
		"$underlay" image build -o "$top/image" --name day --version 1 --system "$(cat "$top/files/system")" \
			--manifest "$top/manifest" --store "$top/sealed/nix/store" || return
	read -r start size <<<"$(image_partition "$top/image" 1)"
	attach_device "$top/image" --read-only --offset "$start" --sizelimit "$size"
	image=$device
	plain
}

# One path more than Nix made is sealed, which is a root of the collector's.
plain() {
	mkdir -p "$top/plain/nix/var/nix/gcroots/underlay/lower0"
	cp -a "$top/sealed/nix/store" "$top/plain/nix/" && cp -a "$top/sealed/nix/var/nix/db" "$top/plain/nix/var/nix/" || return
	# shellcheck disable=SC2016
	unshare --mount --propagation private bash -euc '
		mount -o ro "$1" "$2/mnt"
		in_tree -b "$2/mnt:/srv" -b "$2/plain/nix:/nix" -b "$2/files:/mnt" "$3" bash -euc "$4"
	' _ "$image" "$top" "$tree" '
		export NIX_CONFIG="experimental-features = nix-command read-only-local-store ca-derivations
		build-users-group ="
		from="local?root=/srv&read-only=true"
		root=$(nix path-info --store "$from" --all | grep -- "-underlay-roots\$")
		nix copy --no-check-sigs --from "$from" "$root"
		touch "/nix/var/nix/gcroots/underlay/lower0/${root##*/}"
		nix path-info --all | sort >/mnt/sealed-paths'
}

# ---- the days -----------------------------------------------------------------------------------------

# In the tree, with what lies on $root/nix as its /nix, and the boot's files.
# shellcheck disable=SC2016
live='
	binds=(-b "$root/nix:/nix")
	places=$(awk -v top="$root/nix/" "index(\$5, top) == 1 {print \$5}" /proc/self/mountinfo | sort -u)
	for place in $places; do
		binds+=(-b "$place:${place#"$root"}")
	done
	mkdir -p "$files/run" "$files/etc"
	cp -r "$run/." "$files/run/"
	in_tree "${binds[@]}" -b "$files:/mnt" -b "$files/etc:/etc" "$tree" bash /mnt/commands.sh 3>"$records" >&2'

day() { # NAME: MODE-FILESYSTEM
	local mode=${1%-*} fs=${1#*-} disk=
	export tree records=$top/$1.records files
	tmp=$top/$1 # of this case alone
	mkdir -p "$tmp"
	files=$tmp/files
	cp -a "$top/files" "$files"
	device=$image loops=()
	if [ "$fs" = ext4 ]; then
		truncate -s 400M "$tmp/disk"
		[ "$mode" != plain ] || mkfs.ext4 -q "$tmp/disk"
		attach_device "$tmp/disk"
		disk=$device device=$image
	fi
	if [ "$mode" = plain ]; then
		over_plain "$disk"
	else
		run "$live" "" "[upper]" ${disk:+"type = disk"} ${disk:+"device = $disk"} ${disk:+"prepare = format"} \
			"[database]" "mode = $mode"
	fi >"$tmp/log" 2>&1
	report $? "$1: the day comes to its end" "$tmp/log"
	[ "$mode" = plain ] || tap_is "$1: mode of the database, and the upper" \
		"$(jq -r '"\(.database.mode) \(.upper.persistent)"' "$run/state.json")" "$mode $([ "$fs" = ext4 ] && echo true || echo false)"
	[ -z "$disk" ] || losetup -d "$disk"
	loops=()
	rm -rf "$tmp/disk" "$tmp/plain"
}

over_plain() {
	export root=$tmp/plain run=$tmp/none
	mkdir -p "$root" "$run"
	# shellcheck disable=SC2016
	unshare --mount --propagation private bash -euc '
		[ -z "$1" ] || mount "$1" "$root"
		cp -a "$2/nix" "$root/"
		'"$live" _ "$1" "$top/plain"
}

# ---- what is said ---------------------------------------------------------------------------------------

# The names of differences, as the list and as the manual have them.
listed() {
	grep -v '^#' "$here/differences.txt" | cut -f 1 | sort -u
}
in_manual() {
	awk '/^\.S[hs] / {on = /^\.Ss Differences from a plain store/} on && /^\.It / {sub(/^\.It /, ""); print}' \
		initrd/man/underlay-init.8 | sort
}

as_over_a_plain_store() { # NAME
	local plain=$top/plain-${1#*-}.records
	tap "$1: $(grep -c '^says\|^complains' "$plain") lines in $(grep -c '^== ' "$plain") steps, but for what is listed" \
		python3 "$here/judge.py" "$here/differences.txt" "$1" "$plain" "$top/$1.records"
}

days=(plain-tmpfs plain-ext4 attach-tmpfs attach-ext4 rebuild-tmpfs rebuild-ext4)
tree=$(cache_tree trixie) || { echo "not ok - Nix 2.26 is at hand" && exit 1; }
seal >"$top/log" 2>&1
report $? "what is sealed is made, and a plain store of the same paths" "$top/log"
[ -n "${image:-}" ] || exit 1
for each in "${days[@]}"; do
	tap_case day "$each"
done
tap_cases
for each in "${days[@]}"; do
	[[ $each == plain-* ]] || as_over_a_plain_store "$each"
done
tap_is "underlay-init(8) names these differences, and no others" "$(in_manual)" "$(listed)"
tap_end
