#!/usr/bin/env bash
# Real Nix (2.8 and 2.26) lives on a database that was written page by page as it does on one that it
# made itself: the same script of queries, additions, builds, deletions, garbage collection and checks prints
# the same. Nix 2.26 also reads it in place with read-only=true, from a read-only mount.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$(realpath "${BUILD:-build}")
# shellcheck source=tests/lib/cache.sh
. tests/lib/cache.sh
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT

# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh

# What every script below starts with: no builders' users, no sandbox, nothing fetched.
prelude=$(
	cat <<-'END'
		set -eu
		export NIX_CONFIG='build-users-group =
		sandbox = false
		substituters ='
		roots=/nix/var/nix/gcroots
		cat >/tmp/seed.nix <<'NIX'
		let
		  make = name: deps: derivation {
		    inherit name deps; system = builtins.currentSystem; builder = "/bin/bash";
		    args = [ "-c" "/bin/mkdir $out; echo ${name} $deps $out >$out/text" ];
		  };
		in rec {
		  a = make "a" [ ]; b = make "b" [ a ]; c = make "c" [ a b ];
		  two = derivation {
		    name = "two"; outputs = [ "out" "dev" ]; system = builtins.currentSystem;
		    builder = "/bin/bash"; args = [ "-c" "echo $dev >$out; echo two >$dev" ];
		  };
		  fixed = derivation {
		    name = "fixed"; system = builtins.currentSystem; builder = "/bin/bash";
		    args = [ "-c" "echo fixed >$out" ]; outputHashMode = "flat"; outputHashAlgo = "sha256";
		    outputHash = "f5cb1dd99a5c498eb60b64bdb80ea86d8c15c2fa12c06b6d2f6ba50cb07e0b30";
		  };
		  later = make "later" [ c two.dev ];
		}
		NIX
	END
)

# A store with derivations, outputs, references, self-references, a fixed output, plain sources.
seed=$prelude$(
	cat <<-'END'

		fixed=$(echo fixed | sha256sum | cut -d' ' -f1)
		sed -i "s/outputHash = .*/outputHash = \"$fixed\";/" /tmp/seed.nix
		nix-build /tmp/seed.nix -A c -A two -A fixed -o /nix/result >/dev/null 2>&1
		for i in $(seq 60); do echo "source $i" >/tmp/source-$i; done
		nix-store --add /tmp/source-* >/dev/null
		nix-store --add-fixed sha256 /tmp/source-1 >/dev/null
	END
)

# Everything that can be asked; then changes; then everything again. Prints no time and no path of a temporary file.
life=$prelude$(
	cat <<-'END'

		fixed=$(echo fixed | sha256sum | cut -d' ' -f1)
		sed -i "s/outputHash = .*/outputHash = \"$fixed\";/" /tmp/seed.nix
		ask() {
			echo "== $1"
			nix-store --dump-db | sort
			all=$(nix-store --dump-db | grep ^/nix/store | sort -u)
			for query in hash size deriver; do nix-store --query --$query $all; done
			some=$(echo "$all" | grep -E -- '-(a|b|c|two|two-dev|later|fixed|c.drv|source-1)$')
			for path in $some; do
				echo "-- $path"
				for query in references referrers referrers-closure outputs; do
					nix-store --query --$query $path 2>&1 | sort
				done
			done
			nix-store --verify --check-contents 2>&1 | grep -v 'reading the Nix store' | sort
			nix-store --gc --print-dead 2>/dev/null | sort
		}
		ask 'as it was'
		echo added >/tmp/added
		added=$(nix-store --add /tmp/added)
		nix-build /tmp/seed.nix -A later -o /nix/result-later 2>/dev/null
		nix-store --query --tree /nix/result-later
		ask 'after additions'
		nix-store --delete "$added" >/dev/null 2>&1 && echo deleted
		nix-store --delete /nix/store/*-source-7 >/dev/null 2>&1 && echo deleted
		nix-store --delete "$(readlink /nix/result)" >/dev/null 2>&1 || echo alive
		rm /nix/result-later
		ask 'after deletions'
		nix-store --gc 2>/dev/null | sort
		ask 'after the collection'
		nix-store --add /tmp/added
		nix-build /tmp/seed.nix -A later -o /nix/result-later 2>/dev/null
		ask 'at the end'
	END
)

# Reading in place: the store of /nix, whose database and state are on a read-only mount.
read_only=$(
	cat <<-'END'
		set -eu
		mount -o remount,bind,ro /nix
		if touch /nix/probe 2>/tmp/touched; then exit 9; fi
		grep -q "Read-only file system" /tmp/touched
		feature='nix-command read-only-local-store'
		nix --extra-experimental-features "$feature" path-info --store 'local?read-only=true' \
			--all --json
	END
)

ask_json='nix --extra-experimental-features nix-command path-info --all --json'

same_life() { # NIX TREE
	local nix=$1 tree=$2 own=$dir/$1/own ours=$dir/$1/ours
	mkdir -p "$own"
	if ! in_tree -b "$own:/nix" "$tree" bash -c "$seed"; then
		report 1 "Nix $nix makes a store"
		return
	fi
	cp -a "$own" "$ours"
	rm "$ours"/var/nix/db/*
	"$build/underlay" manifest create -o "$dir/$nix/manifest" --database "$own/var/nix/db/db.sqlite" &&
		"$build/underlay" db build "$dir/$nix/manifest" -o "$ours/var/nix/db" &&
		"$build/underlay" db compare "$dir/$nix/manifest" "$own/var/nix/db/db.sqlite"
	report $? "the database of Nix $nix is the manifest's"
	if [ "$nix" = 2.26 ]; then
		in_tree -b "$own:/nix" "$tree" bash -c "$ask_json" >"$dir/own.json" &&
			sha256sum "$ours/var/nix/db/db.sqlite" >"$dir/before" &&
			in_tree -b "$ours:/nix" "$tree" bash -c "$read_only" >"$dir/read-only.json" &&
			sha256sum --quiet --check "$dir/before" &&
			same_output 'jq -S . "$dir/own.json"' 'jq -S . "$dir/read-only.json"'
		report $? "Nix $nix reads the same from it in place, read-only, and writes nothing"
	fi
	in_tree -b "$own:/nix" "$tree" bash -c "$life" >"$dir/$nix/own.log" 2>"$dir/$nix/own.err"
	report $? "Nix $nix queries, adds, builds, deletes, collects, verifies on its own database"
	in_tree -b "$ours:/nix" "$tree" bash -c "$life" >"$dir/$nix/ours.log" 2>"$dir/$nix/ours.err"
	report $? "and on the generated one"
	[ "$(grep -c '^== ' "$dir/$nix/own.log")" -eq 5 ] && [ "$(wc -l <"$dir/$nix/own.log")" -gt 500 ] &&
		diff "$dir/$nix/own.log" "$dir/$nix/ours.log"
	report $? "with equal output ($(wc -l <"$dir/$nix/own.log") lines)"
	for side in own ours; do
		[ "$(sqlite3 "$dir/$nix/$side/var/nix/db/db.sqlite" 'pragma integrity_check; pragma foreign_key_check')" = ok ]
		report $? "$side: SQLite's checks find nothing afterwards"
	done
}

for nix in 2.8 2.26; do
	case $nix in
	2.8) tree=$(cache_tree bookworm) ;;
	2.26) tree=$(cache_tree trixie) ;;
	esac || {
		report 1 "Nix $nix is at hand"
		continue
	}
	mkdir -p "$dir/$nix"
	same_life "$nix" "$tree"
done
tap_end
