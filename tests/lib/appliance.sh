# The test appliance's store. To be sourced after cache.sh.
#
#   appliance_store 2.26|2.8   prints the folder with nix/store, nix/var/nix/db/db.sqlite, and the files
#                              that tests/appliance/build-store.sh tells of; made once per recipe

appliance_recipe=${BASH_SOURCE[0]%/*}/../appliance

appliance_make() {
	local tree=$1 entry=$2
	mkdir -p "$entry/nix/var/nix/gcroots"
	in_tree -b "$appliance_recipe:/mnt" -b "$entry/nix:/nix" -b "$entry:/srv" "$tree" \
		/mnt/build-store.sh /mnt /srv >"$entry/log" 2>&1 || {
		tail -n 30 "$entry/log"
		echo "the appliance's store could not be made; the lines above are the end of the log"
		return 1
	}
}

appliance_store() {
	local tree key
	case $1 in
	2.26) tree=$(cache_tree trixie) || return 1 ;;
	2.8) tree=$(cache_tree bookworm) || return 1 ;;
	*) echo "no such Nix: $1" >&2 && return 1 ;;
	esac
	key=$({
		echo "$tree"
		cd "$appliance_recipe" && find . -type f -print0 | sort -z | xargs -0 sha256sum
	} | cache_key)
	[ -d "$cache_dir/appliance-$1-$key" ] || echo "making the appliance's store with Nix $1" >&2
	cache_build "appliance-$1" "$key" appliance_make "$tree"
}
