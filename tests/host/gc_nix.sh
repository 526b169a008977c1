#!/usr/bin/env bash
# `underlay gc` beside Nix 2.26 with an attached database (its local-overlay store): what goes is gone for Nix, what
# stays is valid and whole, no row of a sealed path comes into the upper's database by it, and what Nix's own collector
# left in the kept layer goes.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/namespace.sh
. tests/lib/tap.sh
. tests/lib/cache.sh
. tests/lib/layers.sh

root=$tmp/root ro=$tmp/root/nix/.ro db=$tmp/root/nix/var/nix/db/db.sqlite
tree=$(cache_tree trixie) || { echo "not ok - Nix 2.26 is at hand" && exit 1; }
mkdir -p "$ro/nix/store/.links" "$ro/nix/.underlay/names" "$root"/nix/{store,.rw,var}

sealed_nix() { in_tree -b "$ro/nix:/nix" "$tree" env NIX_CONFIG='build-users-group =' bash -euc "$1"; }
nix() {
	in_tree -b "$root/nix:/nix" -b "$view:/nix/store" -b "$upper:/nix/.rw" -b "$upper/var:/nix/var" "$tree" env NIX_CONFIG="build-users-group =
extra-experimental-features = local-overlay-store read-only-local-store
store = local-overlay://?lower-store=local%3Froot%3D/nix/.ro%26read-only%3Dtrue&check-mount=false&upper-layer=/nix/.rw/$session/up" \
		base="$base" bash -euc "$own $1"
}
# Own paths, each of which refers to a sealed one.
own=$(
	cat <<-'END'
		add() {
			for i; do
				nix-instantiate --eval --read-write-mode -E "builtins.toFile \"own-$i\" \"$i \${builtins.storePath /nix/store/$base}\"" >/dev/null
			done
		}
	END
)$'\n'
gc() { build/underlay gc --root "$root" --file "$tmp/state.json" "$@"; }
boot() {
	layers_boot >/dev/null && mount --bind "$view" "$root/nix/store" && mount --bind "$upper" "$root/nix/.rw" &&
		mount --bind "$upper/var" "$root/nix/var" && session=sessions/$(ls "$upper/sessions") &&
		jq -n --arg session "$session" '{format: 1, database: {mode: "attach"}, lowers: [{mount: "/nix/.ro", store: "nix/store"}],
			upper: {mount: "/nix/.rw", session: $session, persistent: true, guard: "checked"}}' >"$tmp/state.json"
}
down() { umount "$root/nix/var" "$root/nix/.rw" "$root/nix/store" && layers_down; }
rows() { sqlite3 "$db" 'select substr(path, 45) from ValidPaths' | sort | paste -sd' '; }

tap "a sealed store with five paths" sealed_nix 'for i in 1 2 3 4 5; do echo "$i" >/tmp/sealed-$i; nix-store --add /tmp/sealed-$i; done'
base=$(ls "$ro/nix/store" | grep sealed-1)
build/underlay manifest create -o "$tmp/manifest" --database "$ro/nix/var/nix/db/db.sqlite" && rm "$ro"/nix/var/nix/db/* &&
	build/underlay db build "$tmp/manifest" -o "$ro/nix/var/nix/db" >"$tmp/log" && "$layers" names "$ro/nix/store" "$ro/nix/.underlay/names" >"$tmp/log"
sealed=$ro/nix/store names=$ro/nix/.underlay/names links=
layers_upper upper ext4 60 && mkdir -p "$upper"/var "$upper"/kept "$upper"/sessions && boot || exit 1

# The second has a root.
tap "Nix adds paths over it" nix 'add 1 2 3; mkdir -p /nix/var/nix/gcroots; ln -s /nix/store/*-own-2 /nix/var/nix/gcroots/two'
tap_is "    its database has them and the one that they refer to" "$(rows)" "own-1 own-2 own-3 sealed-1"
tap "a collection" gc
tap_is "    what has no root is gone, of what is sealed nothing" "$(rows)" "own-2 sealed-1"
tap_is "    also from the store" "$(ls "$view" | cut -c 34- | grep -c own)" 1
tap "Nix finds the store right" nix 'nix-store --verify --check-contents && nix-store --check-validity /nix/store/*-own-2'
tap "    and adds again what has gone" nix 'add 1; nix-store --check-validity /nix/store/*-own-1'
down
tap "another boot" boot
tap "Nix's own collector deletes a row" nix 'nix-store --gc >/dev/null 2>&1; ls /nix/store | grep own-1'
tap "    of which the files stay" bash -c 'ls "$1" | grep -q own-1 && lacks own-1 <<<"$2"' _ "$upper/kept" "$(rows)"
gc --json >"$tmp/gc.json"
tap_is "    they go now" "$(jq -c '.items | map([.name[33:], .valid, .kept])' "$tmp/gc.json")" '[["own-1",false,true]]'
tap_is "    from both layers" "$(ls "$view" "$upper/kept" | grep -c own-1)" 0
tap "Nix finds the store right" nix 'nix-store --verify --check-contents && nix-store --check-validity /nix/store/*-own-2'
tap "    and adds it once more" nix 'add 1; nix-store --check-validity /nix/store/*-own-1'
tap_end
