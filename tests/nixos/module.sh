#!/usr/bin/env bash
# The NixOS module, evaluated by real Nix 2.8 and 2.26: options and their defaults, the policy file, the units, Nix's
# settings, the commands that make image, initramfs and UKI (golden files), and the sentence of each assertion.
#
# Here nixpkgs' `lib` and the options of NixOS that the module touches are small stand-ins (tests/nixos/standin);
# `make check-nixos NIXPKGS=DIR` evaluates the same cases with the real lib and compares with the same golden files.
# UPDATE=1 writes the golden files anew.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/cache.sh
. tests/lib/report.sh
underlay=${BUILD:-build}/underlay
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# evaluate NIX ATTRIBUTE: as JSON, with Nix 2.8, 2.26, or this machine's and the lib below $NIXPKGS ("real").
evaluate() {
	local nix=(nix-instantiate --eval --strict --json --option build-users-group '') file=tests/nixos/eval.nix
	case $1 in
	2.8) in_tree -b "$PWD:/mnt" "$(cache_tree bookworm)" "${nix[@]}" "/mnt/$file" -A "$2" ;;
	2.26) in_tree -b "$PWD:/mnt" "$(cache_tree trixie)" "${nix[@]}" "/mnt/$file" -A "$2" ;;
	real) "${nix[@]}" "$file" --arg lib "import $(realpath "${NIXPKGS:?}")/lib" -A "$2" ;;
	esac
}

check() {
	local name
	for attribute in good bad refused options; do
		evaluate "$1" $attribute >"$dir/$attribute.json" 2>"$dir/out"
		report $? "Nix $1: $attribute cases evaluate"
	done
	for name in $(jq -r 'keys[]' "$dir/good.json"); do
		jq -S ".[\"$name\"]" "$dir/good.json" >"$dir/got"
		[ -z "${UPDATE:-}" ] || cp "$dir/got" "tests/nixos/golden/$name.json"
		diff "tests/nixos/golden/$name.json" "$dir/got" >"$dir/out" 2>&1
		report $? "Nix $1: $name is as its golden file says"
	done
	for name in $(jq -r 'to_entries[] | select(.value.outputs) | .key' "$dir/good.json"); do
		jq -r ".[\"$name\"] | .outputs.policy // .initrd.contents[\"/etc/underlay/underlay.conf\"].text" \
			"$dir/good.json" >"$dir/policy"
		"$underlay" initrd build --no-modules --init "${underlay%/*}/underlay-init" --config "$dir/policy" \
			--compress none -o "$dir/initrd" >"$dir/out" 2>&1
		report $? "Nix $1: the policy of $name is one that underlay takes"
	done
	for name in $(jq -r 'keys[]' "$dir/bad.json"); do
		jq ".[\"$name\"]" "$dir/bad.json" >"$dir/out"
		[ "$(jq .ok "$dir/out")" = true ]
		report $? "Nix $1: $name is refused by its sentence"
	done
	for name in $(jq -r 'keys[]' "$dir/refused.json"); do
		[ "$(jq ".[\"$name\"]" "$dir/refused.json")" = true ]
		report $? "Nix $1: $name is refused by its type"
	done
	jq -r '.[] | select((.described and .typed) | not) | .name' "$dir/options.json" >"$dir/out"
	[ "$(jq length "$dir/options.json")" -gt 20 ] && [ ! -s "$dir/out" ]
	report $? "Nix $1: every option has a type and a description"
}

if [ -n "${NIXPKGS:-}" ]; then
	check real
else
	check 2.8
	check 2.26
fi

# The chapter names every option, and none that is not there.
jq -r '.[].name' "$dir/options.json" | sort >"$dir/declared"
grep -o '^| `boot\.underlay\.[A-Za-z.0-9]*`' nixos-module/README.md | tr -d '|` ' | sort >"$dir/told"
diff "$dir/declared" "$dir/told" >"$dir/out" 2>&1
report $? "nixos-module/README.md tells of every option"
for file in $(git ls-files 'nixos-module/*.nix'); do
	nix-instantiate --parse "$file" >/dev/null 2>"$dir/out"
	report $? "$file parses"
done
exit $((failures > 0))
