# A path that is in both layers: Nix deletes the upper's behind the overlay's back, and has the overlay remounted, so
# that the lower's is seen.
remount_both_layers() {
	both=$(readlink -f "$system/share/seed-doc")
	echo other >"/nix/.rw/store/${both##*/}"
	nix-store --delete --ignore-liveness "$both" >/tmp/delete.log 2>&1
	say delete "$? $(tr '\n' ' ' </tmp/delete.log)"
	check "the upper's copy is gone" test ! -e "/nix/.rw/store/${both##*/}"
	check "the sealed one is seen" grep -q '^documentation of ' "$both"
	check "the sealed one is valid" nix-store --check-validity "$both"
}
