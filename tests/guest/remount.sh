# A path that is in both layers: Nix deletes the upper's behind the overlay's back, and has the overlay remounted, so
# that the lower's is seen.
remount_both_layers() {
	both=$(lower_paths | grep -- '-underlay-roots$') # the only one that no other refers to
	session=$(echo /nix/.rw/sessions/*/up)
	echo other >"$session/${both##*/}"
	check "a path is in both layers" test -e "$session/${both##*/}"
	check "Nix deletes the upper's" nix-store --delete --ignore-liveness "$both"
	check "the upper's copy is gone" test ! -e "$session/${both##*/}"
	check "the sealed one is seen" cmp "$both" "/nix/.ro$both"
	check "the sealed one is valid" nix-store --check-validity "$both"
}
