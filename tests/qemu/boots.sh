#!/usr/bin/env bash
# The appliance boots: both kernels, both ways to a right database, both versions of Nix. Nix inside judges.
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache appliance qemu image; do
	. "tests/lib/$lib.sh"
done

# `nix path-info --json` of every path, in one order, whichever form this Nix prints; but for the one that the image has
# added, the collector's root.
by_path='if type == "array" then map({key: .path, value: .}) | from_entries else . end'
sorted_info() {
	jq -S "$by_path"'| with_entries(select(.key | endswith("-underlay-roots") | not))
		| map_values(.references |= sort | .signatures |= sort)' "$1"
}
# What no other path refers to, among those that were sealed.
top_level() {
	jq -r "$by_path"'| ([to_entries[] | .value.references - [.key] | .[]] | unique) as $named | keys - $named | .[]' "$1" | sort
}

# boots NAME KERNEL NIX WANTED-MODE [CONFIG-LINE...]
boots() {
	local name=$1 kernel=$2 nix=$3 mode=$4 image initrd store
	shift 4
	image_config "$qemu_dir/$name.conf" "$@"
	if ! image=$(image_appliance "$nix") || ! initrd=$(image_initrd "$kernel" "$qemu_dir/$name.conf"); then
		report 1 "$name: its image and initramfs are made"
		return
	fi
	store=$(appliance_store "$nix")
	qemu_boot "$name" "$(cache_kernel "$kernel")" "$initrd" "appliance.scenario=demo" 600 "$image"
	# What the scenario found, under this boot's name.
	guest_found "$name"
	guest_block "$name" state >"$qemu_dir/$name.state"
	tap_is "$name: the scenario ran to its end" "$(tail -n 1 "$qemu_dir/$name.results")" "end demo 0"
	tap_is "$name: the machine powered off" "$(cat "$qemu_dir/$name.end")" poweroff
	# The kernel's default is 1 (kernel/reboot.c).
	tap_is "$name: Ctrl-Alt-Del starts nothing anew" "$(guest_says "$name" ctrl-alt-del)" 0
	tap_is "$name: the database's mode" "$(jq -r .database.mode "$qemu_dir/$name.state")" "$mode"
	tap_is "$name: who signed" "$(jq -r '.lowers[0].signer.fingerprint' "$qemu_dir/$name.state")" \
		"$(openssl x509 -in "$keys_dir/signer.crt" -outform DER | sha256sum | cut -d ' ' -f 1)"
	guest_block "$name" path-info >"$qemu_dir/$name.path-info"
	sorted_info "$qemu_dir/$name.path-info" >"$qemu_dir/$name.got"
	sorted_info "$store/path-info" >"$qemu_dir/$name.wanted"
	tap_is "$name: the path that the image has added refers to all that nothing else does" \
		"$(jq -r "$by_path"'| to_entries[] | select(.key | endswith("-underlay-roots")) | .value.references[]' "$qemu_dir/$name.path-info" | sort)" \
		"$(top_level "$store/path-info")"
	tap "$name: Nix knows of each path what the building Nix knew" \
		same "$qemu_dir/$name.wanted" "$qemu_dir/$name.got"
	[ "$(cat "$qemu_dir/$name.end")" = poweroff ] || qemu_show "$name"
}

image_keys && image_appliance 2.26 >/dev/null && image_appliance 2.8 >/dev/null ||
	{ echo "not ok - the images are made" && exit 1; }

tap_case boots attach-6.12 6.12 2.26 attach "[database]" "mode = attach"
tap_case boots rebuild-6.12 6.12 2.26 rebuild "[database]" "mode = rebuild"
tap_case boots attach-6.1 6.1 2.26 attach "[database]" "mode = auto" "nix-version = 2.26"
tap_case boots rebuild-6.1 6.1 2.26 rebuild "[database]" "mode = rebuild"
tap_case boots nix-2.8 6.12 2.8 rebuild "[database]" "mode = auto" "nix-version = 2.8"
tap_cases
tap_end
