#!/usr/bin/env bash
# Real Nix with content-addressed derivations switched on, over a store that has some, unsigned: with the database that
# it made, with the one that is made of that (mode rebuild), and with that one read in place beneath an overlay (mode
# attach), the feature on and off. The same is built, asked and said in each.
#
#   tests/host/db_ca.sh [RELEASE]...   Debian's releases whose Nix is tried: trixie (2.26) when none is given; sid: the
#                                      newest
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$(realpath "${BUILD:-build}")
# shellcheck source=tests/lib/cache.sh
. tests/lib/cache.sh
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT

# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh

export -f in_tree

prelude=$(
	cat <<-'END'
		set -eu
		base='build-users-group =
		sandbox = false
		substituters ='
		on='experimental-features = nix-command ca-derivations local-overlay-store read-only-local-store'
		off='experimental-features = nix-command local-overlay-store read-only-local-store'
		export NIX_CONFIG="$base
		$on"
		cat >/tmp/ca.nix <<'NIX'
		let
		  make = name: deps: extra: derivation ({
		    inherit name deps; system = builtins.currentSystem; builder = "/bin/bash";
		    args = [ "-c" "echo ${name} $deps >$out" ];
		  } // extra);
		  ca = { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; };
		in rec {
		  plain = make "plain" [ ] { };
		  one = make "one" [ plain ] ca;
		  two = make "two" [ one ] ca;
		  three = make "three" [ two ] ca;
		  later = make "later" [ plain ] ca;
		  alone = make "alone" [ ] ca;
		}
		NIX
	END
)

seed=$prelude$(
	cat <<-'END'

		nix-build /tmp/ca.nix -A plain -A two -o /nix/result >/dev/null 2>&1
		# Where Nix is asked for what is not built yet, it builds: here is nothing to be built.
		nix-build /tmp/ca.nix -A one -A two --no-out-link --max-jobs 0 >/dev/null
	END
)

# What is asked of a store that has all of it. Prints no time.
ask=$(
	cat <<-'END'

		ask() {
			nix-build /tmp/ca.nix -A plain --no-out-link --max-jobs 0 2>/dev/null
			nix-store --query --references "$(nix-build /tmp/ca.nix -A plain --no-out-link --max-jobs 0)" | sort
			[ "$1" = on ] || return 0
			nix-build /tmp/ca.nix -A one -A two --no-out-link --max-jobs 0 2>/dev/null
			nix realisation info --json --file /tmp/ca.nix one | tr -d '\n'
			echo
			nix-build /tmp/ca.nix -A alone --no-out-link 2>/dev/null
			nix-build /tmp/ca.nix -A alone --no-out-link --max-jobs 0 2>/dev/null
			# Over an overlay Nix 2.26 itself does not find a sealed realisation that it is to build on.
			[ "$2" = more ] || return 0
			nix-build /tmp/ca.nix -A later -A three --no-out-link 2>/dev/null
		}
	END
)

life=$prelude$ask$(
	cat <<-'END'

		ask on more
		nix-store --query --roots "$(nix-build /tmp/ca.nix -A two --no-out-link --max-jobs 0)" | sort
		nix-store --verify --check-contents 2>&1 | grep -v 'reading the Nix store' | sort
		nix-store --gc 2>/dev/null | sort
		nix-build /tmp/ca.nix -A two --no-out-link --max-jobs 0
		nix path-info --all | sort
		NIX_CONFIG="$base
		$off"
		ask off more
	END
)

# The store in place: $1 is on or off.
read_only=$prelude$(
	cat <<-'END'

		[ "$1" = on ] || NIX_CONFIG="$base
		$off"
		nix path-info --store 'local?root=/mnt&read-only=true' --all --json >/dev/null
		nix path-info --store 'local?root=/mnt&read-only=true' --all | sed 's|^/mnt||' | sort
	END
)

plain=$prelude$ask$(
	cat <<-'END'

		[ "$1" = on ] || NIX_CONFIG="$base
		$off"
		ask "$1" "$2"
	END
)

# The lower beneath an overlay, as the boot mounts it. $1 is on or off.
attach=$prelude$ask$(
	cat <<-'END'

		mount -t tmpfs up /srv && mkdir -p /srv/up /srv/work /srv/var/nix /nix/store /nix/var
		mount -t overlay overlay -o lowerdir=/mnt/nix/store,upperdir=/srv/up,workdir=/srv/work /nix/store
		mount --bind /srv/var /nix/var
		here="store = local-overlay://?lower-store=local%3Froot%3D/mnt%26read-only%3Dtrue&upper-layer=/srv/up&check-mount=false"
		base="$base
		$here"
		NIX_CONFIG="$base
		$on"
		[ "$1" = on ] || NIX_CONFIG="$base
		$off"
		ask "$1" "$2"
	END
)

# The store of ROOT/nix as /nix; or, with -r, ROOT read-only as /mnt, and nothing in /nix.
inside() { # [-r] ROOT TREE SCRIPT [ARGUMENT...]
	if [ "$1" != -r ]; then
		in_tree -b "$1/nix:/nix" "$2" bash -c "$3" bash "${@:4}"
		return
	fi
	mkdir -p "$dir/empty"
	# shellcheck disable=SC2016
	unshare --mount --propagation private bash -c '
		mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && in_tree -b "$1:/mnt" -b "$2:/nix" "${@:3}"' \
		bash "$2" "$dir/empty" "$3" bash -c "$4" bash "${@:5}"
}

one_nix() { # RELEASE TREE
	local release=$1 tree=$2 own=$dir/$1/own ours=$dir/$1/ours version switch
	mkdir -p "$own/nix"
	version=$(in_tree "$tree" nix --version | sed 's/.* //')
	inside "$own" "$tree" "$seed" >"$dir/out" 2>&1
	report $? "Nix $version makes a store with content-addressed paths"
	cp -a "$own" "$ours" && rm -rf "$ours"/nix/var/nix/db/*
	"$build/underlay" manifest create -o "$dir/$release/manifest" --database "$own/nix/var/nix/db/db.sqlite" >"$dir/out" 2>&1 &&
		"$build/underlay" db build "$dir/$release/manifest" -o "$ours/nix/var/nix/db" >"$dir/out" 2>&1 &&
		"$build/underlay" db compare "$dir/$release/manifest" "$own/nix/var/nix/db/db.sqlite" >"$dir/out" 2>&1
	report $? "$version: its database is the manifest's, NULL for NULL"
	[ "$("$build/underlay" manifest show --json "$dir/$release/manifest" | jq .realisations)" -ge 2 ]
	report $? "$version: with the realisations"

	sha256sum "$ours/nix/var/nix/db/db.sqlite" >"$dir/before"
	for switch in off on; do
		inside -r "$ours" "$tree" "$read_only" $switch >"$dir/$release/read.$switch" 2>"$dir/out"
		report $? "$version, the store read in place, ca-derivations $switch"
	done
	same "$dir/$release/read.on" "$dir/$release/read.off" >"$dir/out" 2>&1 &&
		[ "$(wc -l <"$dir/$release/read.on")" -ge 6 ]
	report $? "$version: it lists the same paths ($(wc -l <"$dir/$release/read.on"))"

	in_place "$release" "$tree" "$version" "$ours"
	sha256sum --quiet --check "$dir/before" >"$dir/out" 2>&1
	report $? "$version: not a byte of the sealed database is written"

	inside "$own" "$tree" "$life" >"$dir/$release/own.log" 2>"$dir/out"
	report $? "$version, ca-derivations on: builds, asks, verifies, collects over its own database"
	inside "$ours" "$tree" "$life" >"$dir/$release/ours.log" 2>"$dir/out"
	report $? "$version: and over the generated one (rebuild)"
	same "$dir/$release/own.log" "$dir/$release/ours.log" >"$dir/out" 2>&1
	report $? "$version: with equal output ($(wc -l <"$dir/$release/own.log") lines)"
}

# Attach: over the sealed store what is sealed is there, what is new is built.
in_place() { # RELEASE TREE VERSION OURS
	local release=$1 tree=$2 version=$3 ours=$4 more=more switch
	[ "$release" != trixie ] || more=less
	cp -a "$dir/$release/own" "$dir/$release/plain"
	for switch in off on; do
		inside -r "$ours" "$tree" "$attach" $switch $more >"$dir/$release/attach.$switch" 2>"$dir/out"
		report $? "$version, attach, ca-derivations $switch"
		inside "$dir/$release/plain" "$tree" "$plain" $switch $more >"$dir/$release/plain.$switch" 2>"$dir/out" &&
			same "$dir/$release/plain.$switch" "$dir/$release/attach.$switch" >"$dir/out" 2>&1
		report $? "$version, attach, ca-derivations $switch: as over a plain store"
	done
}

for release in "${@:-trixie}"; do
	tree=$(cache_tree "$release") && mkdir -p "$dir/$release" && one_nix "$release" "$tree" || report 1 "Nix of $release is at hand"
done
tap_end
