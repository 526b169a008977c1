#!/usr/bin/env bash
# What the database costs a boot in rebuild mode, in milliseconds by underlay-init's own log: of the appliance, and
# of the appliance in a store of 100,000 paths. QEMU without KVM, so that a processor is some ten times slower
# than the one it runs on. Prints a table and writes JSON. After the first run nothing is downloaded.
#
#   RUNS=3 KERNEL=6.12 PATHS=100000 OUT=build/bench/boot-rebuild.json tests/bench/bench_boot_rebuild.sh
cd "$(dirname "$0")/../.." || exit 1
qemu_dir=build/bench/boot-rebuild
for lib in cache appliance qemu image; do
	. "tests/lib/$lib.sh"
done
runs=${RUNS:-3} kernel=${KERNEL:-6.12} extra=${PATHS:-100000} out=${OUT:-build/bench/boot-rebuild.json}
mkdir -p "$qemu_dir" "${out%/*}"

fail() {
	echo "bench_boot_rebuild: $*" >&2
	exit 3
}

# The appliance and a generated store, whose paths are empty files: no boot looks into them.
make_large() {
	local store generated=$qemu_dir/generated
	store=$(appliance_store 2.26) || return 1
	chmod -R u+w "$generated" 2>/dev/null
	rm -rf "$generated"
	mkdir -p "$generated" && cp -a "$store/nix/store" "$generated/store" && chmod u+w "$generated/store" &&
		build/tests/bench/gen_store 1 "$extra" -o "$generated/manifest" &&
		"$underlay" manifest export --format registration "$generated/manifest" >"$generated/registration" &&
		(cd "$generated/store" && "$OLDPWD/$underlay" manifest export --format json "$OLDPWD/$generated/manifest" |
			jq -r '(.info // .) | keys[] | sub(".*/"; "")' | xargs -d '\n' touch) &&
		"$underlay" manifest create -o "$generated/both" --registration "$generated/registration" \
			--database "$store/nix/var/nix/db/db.sqlite" &&
		"$underlay" image build -o "$qemu_dir/large.img" --manifest "$generated/both" --store "$generated/store" \
			--system "$system" --name appliance --version 1.0 --no-database --force \
			--key "$keys_dir/signer.key" --cert "$keys_dir/signer.crt" >"$qemu_dir/large.log" 2>&1 || {
		cat "$qemu_dir/large.log" >&2
		return 1
	}
}

boot() { # NAME IMAGE
	qemu_boot "$1" "$(cache_kernel "$kernel")" "$qemu_dir/rebuild.initrd" "appliance.scenario=bench" 240 "$2"
	grep -q '^say system' "$qemu_dir/$1.results" &&
		sed -n 's/.*database: rebuilt in \([0-9.]*\) ms, \([0-9]*\) paths.*/\1 \2/p' "$qemu_dir/$1.console" |
		grep . >>"$qemu_dir/$1.times" || {
		qemu_show "$1" >&2
		fail "$1 did not boot"
	}
}

modules=$(cache_modules "$kernel") && image_keys && image=$(image_appliance 2.26) && system=$(image_system 2.26) ||
	fail "the appliance could not be made"
make_large || fail "the large image could not be made"
image_config "$qemu_dir/rebuild.conf" "[database]" "mode = rebuild" &&
	"$underlay" initrd build -o "$qemu_dir/rebuild.initrd" --init "${underlay%/*}/underlay-init" \
		--config "$qemu_dir/rebuild.conf" --cert "$keys_dir/signer.crt" --modules-dir "$modules" >/dev/null ||
	fail "the initramfs could not be made"
rm -f "$qemu_dir"/*.times
for ((run = 1; run <= runs; run++)); do
	boot appliance "$image"
	boot large "$qemu_dir/large.img"
done
for name in appliance large; do
	sort -n "$qemu_dir/$name.times" | jq -Rn --arg name "$name" '[inputs | split(" ") | map(tonumber)] |
		{($name): {paths: .[0][1], median_ms: .[(length / 2 | floor)][0], ms: map(.[0])}}'
done | jq -s --arg kernel "${modules##*/}" 'add | {benchmark: "boot-rebuild", $kernel, stores: .}' >"$out"
jq -r '["store", "paths", "rebuilt in ms", "least", "most"],
	(.stores | to_entries[] | [.key, .value.paths, .value.median_ms, (.value.ms | min), (.value.ms | max)]) | @tsv' \
	"$out" | column -t -s $'\t'
echo "written: $out"
