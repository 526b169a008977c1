# /data/sealed has the SHA-256 of every sealed file, made from the image's source; /data/sealed.names the names, whose
# files' types, modes and targets are compared with the lower's own: $sealed, by default the image's store.
list_sealed() {
	(cd "$1" && xargs -0 sh -c 'find "$@" -exec stat -c "%N %F %a %s" {} +' find </data/sealed.names) | sort
}

sealed_unchanged() {
	cd /nix/store
	sha256sum -c /data/sealed >/tmp/sums 2>&1
	grep -v ': OK$' /tmp/sums >/tmp/wrong
	check "every sealed file has its content" \
		test ! -s /tmp/wrong -a -s /data/sealed -a "$(wc -l </tmp/sums)" = "$(wc -l </data/sealed)"
	sed 's/^/say wrong /' /tmp/wrong | head -n 20 >&3
	# A directory's size is its filesystem's own; everything else of it counts.
	list_sealed /nix/store | sed 's/ directory \([0-7]*\) [0-9]*$/ directory \1/' >/tmp/seen
	list_sealed "${sealed:-/nix/.ro/nix/store}" | sed 's/ directory \([0-7]*\) [0-9]*$/ directory \1/' >/tmp/sealed
	check "there are sealed paths" test -s /tmp/sealed
	check "every sealed path has its files, their types, modes and targets, and no others" cmp /tmp/seen /tmp/sealed
	# busybox' diff prints + and -, others < and >.
	diff /tmp/seen /tmp/sealed | grep '^[<>+-][^+-]' | head -n 40 | sed 's/^/say differs /' >&3
	cd /
}
