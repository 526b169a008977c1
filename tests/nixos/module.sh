#!/usr/bin/env bash
# The NixOS module, evaluated by real Nix 2.8 and 2.26: options and their defaults, the policy file, the units, Nix's
# settings, the commands that make image, initramfs and UKI (golden files), and the sentence of each assertion.
#
# Here nixpkgs' `lib` and the options of NixOS that the module touches are small stand-ins (tests/nixos/standin);
# `make check-nixos NIXPKGS=DIR` evaluates the same cases with the real lib, compares with the same golden files, and
# evaluates the examples as whole systems with the modules of NixOS (whole.nix).
# UPDATE=1 writes the golden files anew.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/cache.sh
. tests/lib/tap.sh
underlay=${BUILD:-build}/underlay
dir=$(mktemp -d)
tap_at_exit 'rm -rf "$dir"'

# evaluate NIX ATTRIBUTE: as JSON, with Nix 2.8, 2.26, or this machine's and the lib below $NIXPKGS ("real").
evaluate() {
	local nix=(nix-instantiate --eval --strict --json --option build-users-group '') file=tests/nixos/eval.nix
	case $1 in
	2.8) in_tree -b "$PWD:/mnt" "$(cache_tree bookworm)" "${nix[@]}" "/mnt/$file" -A "$2" ;;
	2.26) in_tree -b "$PWD:/mnt" "$(cache_tree trixie)" "${nix[@]}" "/mnt/$file" -A "$2" ;;
	real) "${nix[@]}" "$file" --arg lib "import $(realpath "${NIXPKGS:?}")/lib" -A "$2" ;;
	esac
}

# The command lines of our programs in a file of JSON, one a line: in scripts, and in the units' ExecStart and ExecStop.
commands() {
	jq -r '.. | strings' "$1" | sed -e ':more' -e '/\\$/{N; s/\\\n//; b more' -e '}' |
		grep -oE '(^|[ /])underlay(-init --| [a-z]).*' | sed 's/^[ /]//'
}

# The programs have each command and option of the lines on standard input; what they have not is printed.
known() {
	local line words usage option unknown=0
	while read -r line; do
		read -ra words <<<"$line"
		if [ "${words[0]}" = underlay-init ]; then
			words=(underlay-init)
		elif [[ ${words[2]:-} =~ ^[a-z]+$ ]]; then
			words=("${words[@]:0:3}")
		else
			words=("${words[@]:0:2}")
		fi
		if ! usage=$("${underlay%/*}/${words[0]}" "${words[@]:1}" --help 2>/dev/null); then
			echo "no such command: $line" && unknown=1
		fi
		for option in $(grep -oE -- '(^| )--?[a-z][a-z-]*' <<<"$line"); do # it may have none
			grep -qE -- "(^|[^a-z-])$option([^a-z-]|$)" <<<"$usage" || { echo "no option $option: $line" && unknown=1; }
		done
	done
	return $unknown
}

# The unit for systemd's initramfs as KEY=WORD, a line each word: the module's, and the one that is installed for
# others.
unit_of_module() {
	jq -r '.systemd.initrd.services.underlay | (.unitConfig + .serviceConfig + {Description: .description,
		Documentation: .documentation, Wants: .wants, After: .after, Before: .before, Conflicts: .conflicts,
		RequiredBy: .requiredBy}) | to_entries[] | .key as $key | .value |
		if . == true then "yes" elif . == false then "no" elif type == "array" then join(" ") else . end |
		sub("^/nix/store/[^/]*"; "/usr") | split(" ")[] | "\($key)=\(.)"' "$1" | sort
}
unit_of_others() {
	sed -n 's/^\([A-Za-z]*\)=/\1 /p' initrd/systemd/underlay.service |
		awk '{for (i = 2; i <= NF; i++) print $1 "=" $i}' | sort
}

# The policy lies beside the golden file as a text of its own, so that a change of it can be read.
without_policy='(.outputs | objects | .policy | strings) |= "NAME.conf" |
	(.initrd.contents["/etc/underlay/underlay.conf"] | objects | .text) |= "NAME.conf"'

check() {
	local name names
	for attribute in good bad refused options; do
		evaluate "$1" $attribute >"$dir/$attribute.json" 2>"$dir/out"
		report $? "Nix $1: $attribute cases evaluate"
	done
	take_lines names jq -r 'keys[]' "$dir/good.json" || exit 1
	for name in "${names[@]}"; do
		jq -S ".[\"$name\"] | $without_policy" "$dir/good.json" >"$dir/got"
		[ -z "${UPDATE:-}" ] || cp "$dir/got" "tests/nixos/golden/$name.json"
		diff "tests/nixos/golden/$name.json" "$dir/got" >"$dir/out" 2>&1
		report $? "Nix $1: $name is as its golden file says"
	done
	take_lines names jq -r 'to_entries[] | select(.value.outputs) | .key' "$dir/good.json" || exit 1
	for name in "${names[@]}"; do
		jq -r ".[\"$name\"] | .outputs.policy // .initrd.contents[\"/etc/underlay/underlay.conf\"].text" \
			"$dir/good.json" >"$dir/policy"
		[ -z "${UPDATE:-}" ] || cp "$dir/policy" "tests/nixos/golden/$name.conf"
		diff -u "tests/nixos/golden/$name.conf" "$dir/policy" >"$dir/out" 2>&1
		report $? "Nix $1: the policy of $name is as its golden file says"
		"$underlay" initrd build --no-modules --init "${underlay%/*}/underlay-init" --config "$dir/policy" \
			--compress none -o "$dir/initrd" >"$dir/out" 2>&1
		report $? "Nix $1: the policy of $name is one that underlay takes"
	done
	same_output 'unit_of_module "$dir/good.json" | grep -vx Before=initrd-find-nixos-closure.service' unit_of_others >"$dir/out" 2>&1
	report $? "Nix $1: the module's unit for systemd's initramfs is the one that others install"
	commands "$dir/good.json" | sort -u >"$dir/commands"
	known <"$dir/commands" >"$dir/out"
	report $? "Nix $1: the programs have every command and option that the module gives them"
	grep -oE '^(underlay-init|underlay [a-z]+-?[a-z]+( [a-z]+)?)' "$dir/commands" | sort -u >"$dir/got"
	printf '%s\n' 'underlay gc' 'underlay image build' 'underlay image inspect' 'underlay image sign' 'underlay initrd build' \
		'underlay manifest create' 'underlay mark-clean' 'underlay mark-good' 'underlay uki build' underlay-init | sort >"$dir/all"
	same "$dir/all" "$dir/got" >"$dir/out" 2>&1
	report $? "Nix $1: which are all that there are"
	take_lines names jq -r 'keys[]' "$dir/bad.json" || exit 1
	for name in "${names[@]}"; do
		jq ".[\"$name\"]" "$dir/bad.json" >"$dir/out"
		[ "$(jq .ok "$dir/out")" = true ]
		report $? "Nix $1: $name is refused by its sentence"
	done
	take_lines names jq -r 'keys[]' "$dir/refused.json" || exit 1
	for name in "${names[@]}"; do
		[ "$(jq ".[\"$name\"]" "$dir/refused.json")" = true ]
		report $? "Nix $1: $name is refused by its type"
	done
	jq -r '.[] | select((.described and .typed) | not) | .name' "$dir/options.json" >"$dir/out"
	[ "$(jq length "$dir/options.json")" -gt 20 ] && [ ! -s "$dir/out" ]
	report $? "Nix $1: every option has a type and a description"
}

# The examples as whole systems, where there are all the modules of NixOS and not its lib alone.
check_whole() {
	local name
	nix-instantiate --eval --strict --json --option build-users-group '' tests/nixos/whole.nix \
		--arg nixpkgs "$(realpath "$NIXPKGS")" >"$dir/whole.json" 2>"$dir/out"
	report $? "the examples evaluate as whole systems of NixOS"
	for name in appliance device fleet; do
		jq ".[\"$name\"]" "$dir/whole.json" >"$dir/out"
		jq -e '.failed == [] and .warnings == []' "$dir/out" >/dev/null
		report $? "$name: no assertion of NixOS' modules fires, and no warning"
		jq -e '.root.device == "tmpfs" and (.root.options | index("mode=0755"))' "$dir/out" >/dev/null
		report $? "$name: the root is a tmpfs that root alone writes to"
		jq -e '.daemon | test("Environment=.*NIX_CONFIG=!include /run/underlay/nix.conf")' "$dir/out" >/dev/null
		report $? "$name: the nix-daemon reads what the boot wrote"
		jq -e '.markClean | test("Before=.*nix-daemon.service")' "$dir/out" >/dev/null
		report $? "$name: the layer is marked clean after the daemon ended"
	done
	jq .shared "$dir/whole.json" >"$dir/out"
	jq -e '.failed == [] and (.warnings | length) == 1 and (.derivations | length) == 5' "$dir/out" >/dev/null
	report $? "a system over its host's store evaluates, with the one warning that it deserves"
	jq .device.initrd "$dir/whole.json" >"$dir/out"
	jq -e '(.unit | test("Before=.*initrd-root-fs.target")) and (.closure | test("Type=oneshot")) and
		(.script | test("/run/underlay/system"))' "$dir/out" >/dev/null
	report $? "device: systemd's initramfs has our unit, and finds the system that the image names"
	jq .device.availableKernelModules "$dir/whole.json" >"$dir/out"
	jq -e '["virtio_blk", "dm_verity", "overlay", "erofs", "ext4"] - . == []' "$dir/out" >/dev/null
	report $? "device: it has the drivers of QEMU's disk, and what the store is made of"
	jq .vmTest "$dir/whole.json" >"$dir/out"
	[ "$(jq -r .vmTest "$dir/whole.json" | grep -c 'qemu-kvm .* -drive if=virtio')" = 2 ]
	report $? "the NixOS VM test evaluates, with its two machines"
}

if [ -n "${NIXPKGS:-}" ]; then
	check real
	[ ! -e "$NIXPKGS/nixos/lib/eval-config.nix" ] || check_whole
else
	check 2.8
	check 2.26
fi

# What the check of the command lines is worth: these were, or could be, in the module.
for line in 'underlay uki build -o x --unsigned' 'underlay image seal --name x' 'underlay mark-dirty' \
	'underlay-init --root /sysroot' 'underlay image sign x --pass y'; do
	known <<<"$line" >"$dir/out"
	[ $? -eq 1 ] && grep -qE '^no (such command|option .*): ' "$dir/out"
	report $? "refused: $line"
done

# The chapter names every option, and no option that does not exist.
jq -r '.[].name' "$dir/options.json" | sort >"$dir/declared"
grep -o '^| `boot\.underlay\.[A-Za-z.0-9]*`' nixos-module/README.md | tr -d '|` ' | sort >"$dir/told"
diff "$dir/declared" "$dir/told" >"$dir/out" 2>&1
report $? "nixos-module/README.md tells of every option"
for file in nixos-module/*.nix; do
	nix-instantiate --parse "$file" >/dev/null 2>"$dir/out"
	report $? "$file parses"
done
tap_end
