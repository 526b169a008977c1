# What the tests download, kept outside the repository. To be sourced.
#
#   cache_tree bookworm|trixie|sid   prints the folder of that Debian release's packages, laid out as a root;
#                                sid: of the day it was fetched
#   cache_kernel 6.1|6.12|6.12-generic   prints the kernel's file; generic: Debian's for all machines, which has what
#                                        the others, made for clouds, leave out (9p)
#   cache_modules 6.1|6.12|6.12-generic  prints the folder of its modules (lib/modules/VERSION)
#   cache_build NAME KEY COMMAND...   prints the folder that COMMAND fills (its last argument), made once
#   in_tree TREE COMMAND...      runs a command with TREE as its root
#
# The cache is ${UNDERLAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/underlay}. An entry's name ends in a
# hash of its recipe, so a changed recipe makes a new entry and two checkouts can share the cache. An entry
# appears whole, by a rename under a lock: who is interrupted leaves nothing half-made behind.

cache_dir=${UNDERLAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/underlay}

# Nix 2.8 knows the plain local store only; its kernel has uncompressed modules.
bookworm_packages=(
	linux-image-cloud-amd64 nix-bin busybox-static patchelf
	sqlite3 xz-utils base-files bash dash coreutils findutils sed grep diffutils libc-bin
)
# Nix 2.26 has the local-overlay store; modules are .ko.xz; systemd-dissect and veritysetup are of
# systemd 257's time.
trixie_packages=(
	linux-image-cloud-amd64 nix-bin busybox-static patchelf
	sqlite3 xz-utils base-files bash dash coreutils findutils sed grep diffutils libc-bin
	cryptsetup-bin systemd systemd-container systemd-repart erofs-utils
)

# The newest Nix that Debian has, for `make check-nix-versions`.
sid_packages=("${bookworm_packages[@]}" mount)

cache_key() {
	sha256sum | cut -c 1-16
}

# cache_build NAME KEY COMMAND...: COMMAND is called with a fresh folder's path as its last argument.
cache_build() {
	local name=$1 key=$2 entry=$cache_dir/$1-$2 work
	shift 2
	if [ ! -d "$entry" ]; then
		mkdir -p "$cache_dir" || return 1
		(
			flock 9
			[ ! -d "$entry" ] || exit 0
			work=$(mktemp -d "$cache_dir/.$name.XXXXXX")
			trap 'rm -rf "$work"' EXIT
			"$@" "$work/new" >&2 && chmod 755 "$work/new" && mv -T "$work/new" "$entry"
		) 9>"$cache_dir/.$name.lock" || return 1
	fi
	echo "$entry"
}

# The packages are unpacked, not configured: no maintainer script runs, which takes 10 s instead of 60 s
# and needs nothing of the machine. Nothing here needs more than the files.
cache_make_tree() {
	local suite=$1 packages=$2 tree=$3 log=$3.log
	if ! mmdebstrap --variant=extract --include="$packages" "$suite" "$tree" >"$log" 2>&1; then
		tail -n 20 "$log"
		echo "the packages of Debian's $suite could not be fetched; the lines above are mmdebstrap's"
		return 1
	fi
	mkdir -p "$tree"/{nix,proc,dev,sys,tmp,run,mnt,srv}
}

# sid's lists are good for a week, and a machine's clock may be ahead. Its kernel lies beside the modules.
cache_make_sid() {
	mmdebstrap() { command mmdebstrap --aptopt='Acquire::Check-Valid-Until "false"' "$@"; }
	cache_make_tree "$@" || return 1
	local version
	version=$(ls "$3/usr/lib/modules") && [ -e "$3/boot/vmlinuz-$version" ] ||
		cp "$3/usr/lib/modules/$version/vmlinuz" "$3/boot/vmlinuz-$version"
}

cache_tree() {
	local suite=$1 packages key make=cache_make_tree
	case $suite in
	bookworm) packages=${bookworm_packages[*]} ;;
	trixie) packages=${trixie_packages[*]} ;;
	sid) packages=${sid_packages[*]} make=cache_make_sid ;;
	*) echo "no such tree: $suite" >&2 && return 1 ;;
	esac
	key=$(cache_key <<<"$packages$(declare -f cache_make_tree)$([ $make = cache_make_tree ] || declare -f $make)")
	[ -d "$cache_dir/$suite-$key" ] || echo "fetching packages of Debian's $suite" >&2
	cache_build "$suite" "$key" $make "$suite" "${packages// /,}"
}

# The kernel alone, without the tools that its package wants.
cache_make_kernel() {
	local tree=$2
	cache_make_tree "$1" linux-image-amd64 "$tree.all" && mkdir -p "$tree/lib" && mv "$tree.all/boot" "$tree/" &&
		mv "$tree.all/usr/lib/modules" "$tree/lib/" && rm -rf "$tree.all"
}

cache_kernel_tree() {
	case $1 in
	6.1) cache_tree bookworm ;;
	6.12) cache_tree trixie ;;
	6.12-generic) cache_build trixie-kernel "$(declare -f cache_make_kernel cache_make_tree | cache_key)" cache_make_kernel trixie ;;
	*) echo "no such kernel: $1" >&2 && return 1 ;;
	esac
}

cache_kernel() {
	local tree
	tree=$(cache_kernel_tree "$1") && ls "$tree"/boot/vmlinuz-"${1%-generic}".*
}

cache_modules() {
	local tree
	tree=$(cache_kernel_tree "$1") && ls -d "$tree"/lib/modules/"${1%-generic}".*
}

# in_tree [-b FROM:TO]... TREE COMMAND...: with /proc, /dev, an own /tmp, and the folders bound that -b
# names, all of it gone with the command.
in_tree() {
	local -a binds=()
	while [ "$1" = -b ]; do
		binds+=("$2")
		shift 2
	done
	# shellcheck disable=SC2016
	unshare --mount --pid --fork --kill-child bash -euc '
		tree=$1 count=$2
		shift 2
		for bind in "${@:1:count}"; do
			mount --bind "${bind%%:*}" "$tree${bind#*:}"
		done
		shift "$count"
		mount -t proc proc "$tree/proc"
		mount --rbind /dev "$tree/dev"
		mount -t tmpfs tmpfs "$tree/tmp"
		mount -t tmpfs tmpfs "$tree/run"
		exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp USER=root chroot "$tree" "$@"
	' in_tree "$1" "${#binds[@]}" "${binds[@]}" "${@:2}"
}
