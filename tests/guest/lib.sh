# What the scenarios of a persistent upper share. $release: of the image that is booted.
busybox=$(readlink -f "$system/bin/busybox" | sed 's|/bin/busybox$||')
roots=/nix/var/nix/gcroots/test
mkdir -p "$roots"

block() {
	echo "begin $1" >&3
	awk 1 >&3 # ends each line, the last one too
	echo "end $1" >&3
}

# What this boot did, and all that Nix calls valid, before anything is changed.
tell_boot() {
	block state </run/underlay/state.json
	[ ! -f /nix/.rw/report.json ] || block report </nix/.rw/report.json
	nix-store --dump-db | block registration
}

judge() {
	check "every sealed path is valid" nix-store --check-validity $(lower_paths)
	check "nix-store --verify --check-contents is clean" verify_all --check-contents
}

# Nix of some versions repairs the database where it finds a path gone, and ends well: so what it prints counts.
verify_all() {
	nix-store --verify "$@" >/tmp/verify.log 2>&1
	verify_status=$?
	cat /tmp/verify.log
	# What shows that it looked: the local-overlay store says nothing of checking until contents are asked for.
	case "$*" in
	*--check-contents*) looked=checking ;;
	*) looked=reading ;;
	esac
	[ $verify_status = 0 ] && grep -q "^$looked" /tmp/verify.log &&
		lacks -E 'disappeared|modified|not valid|error' /tmp/verify.log
}

# The collector takes nothing that is sealed, and nothing that has a root.
collect() {
	nix-collect-garbage >/tmp/collected 2>&1
	collected=$?
	say collected "$(tail -n 1 /tmp/collected)"
	ls /nix/store >/tmp/after
	lower_paths | sed 's|.*/||' | grep -vxFf /tmp/after >/tmp/lost
	check "the collector left every sealed path" test $collected = 0 -a -s /tmp/after -a ! -s /tmp/lost
	check "every sealed path is valid after the collection" nix-store --check-validity $(lower_paths)
}

mark_clean() {
	check "the upper is marked clean" /data/underlay mark-clean
}

invalid() {
	fails 1 'is not valid' nix-store --check-validity "$1"
}

same_text() {
	test "$(cat "$1")" = "$2"
}
