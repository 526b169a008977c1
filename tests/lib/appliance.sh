# The test appliance's store. To be sourced after cache.sh.
#
#   appliance_store NIX[:RELEASE]   (2.26, 2.8, or sid for the newest; release 1 or 2 of the smaller one, see
#                                   tests/appliance/default.nix)
#                                   prints the folder with nix/store, nix/var/nix/db/db.sqlite, and the files that
#                                   tests/appliance/build-store.sh tells of; made once per recipe

underlay=${underlay:-build/underlay}
appliance_recipe=${BASH_SOURCE[0]%/*}/../appliance

appliance_make() {
	local tree=$1 release=$2 entry=$3
	mkdir -p "$entry/nix/var/nix/gcroots"
	cp "${underlay%/*}/underlay-remount" "$entry/" || return 1
	in_tree -b "$appliance_recipe:/mnt" -b "$entry/nix:/nix" -b "$entry:/srv" "$tree" \
		/mnt/build-store.sh /mnt /srv $release >"$entry/log" 2>&1 || {
		tail -n 30 "$entry/log"
		echo "the appliance's store could not be made; the lines above are the end of the log"
		return 1
	}
}

appliance_store() {
	local nix=${1%:*} release= tree key
	[[ $1 != *:* ]] || release=${1#*:}
	case $nix in
	2.26) tree=$(cache_tree trixie) || return 1 ;;
	2.8) tree=$(cache_tree bookworm) || return 1 ;;
	sid) tree=$(cache_tree sid) || return 1 ;;
	*) echo "no such Nix: $1" >&2 && return 1 ;;
	esac
	key=$({
		echo "$tree"
		cd "$appliance_recipe" && find . -type f -print0 | sort -z | xargs -0 sha256sum
		# The hook's sources: the program itself differs with the place it was built in.
		cd ../.. && sha256sum cli/hook/*.c cli/remount* common/error.[ch]
	} | cache_key)
	set -- "appliance-$nix${release:+-release-$release}"
	[ -d "$cache_dir/$1-$key" ] || echo "making the appliance's store with Nix $nix${release:+, release $release}" >&2
	cache_build "$1" "$key" appliance_make "$tree" "$release"
}
