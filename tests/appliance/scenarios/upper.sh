# A persistent upper: what the first boot adds is there and valid in the second. In attach mode the first also deletes a
# path of both layers through Nix, which calls the remount hook.
begin_state() {
	echo "begin state" >&3
	cat /run/underlay/state.json >&3
	echo "end state" >&3
}
begin_state
kept=/nix/var/kept
if [ -e "$kept" ]; then
	path=$(cat $kept)
	check "what was added is still there" grep -q "added by the first boot" "$path"
	check "and valid" nix-store --check-validity "$path"
	check "and unchanged" nix-store --verify-path "$path"
else
	echo "added by the first boot" >/tmp/added
	path=$(nix-store --add /tmp/added)
	check "a path is added" nix-store --check-validity "$path"
	echo "$path" >$kept
fi
check "nosuid and nodev" grep -q " /nix/.rw [a-z0-9]* rw,nosuid,nodev" /proc/mounts
if grep -q local-overlay /run/underlay/nix.conf; then
	both=$(readlink $system/share/notes)
	check "the hook is our own" grep -q "remount-hook=$system/bin/underlay-remount" /run/underlay/nix.conf
	nix-store --check-validity "$both" # which makes it known to the upper's database
	cp "/nix/.ro$both" "/nix/.rw/store/${both##*/}"
	underlay-remount /nix/store
	check "a path is in both layers" test -e "/nix/.rw/store/${both##*/}"
	optimise() {
		nix-store --optimise >/tmp/optimise.log 2>&1 || { cat /tmp/optimise.log && return 1; }
	}
	check "Nix deletes the upper's, and calls the hook" optimise
	check "without a word about remounting" lacks -i remount /tmp/optimise.log
	check "it is gone from the upper" test ! -e "/nix/.rw/store/${both##*/}"
	check "the lower's is served" cmp "$both" "/nix/.ro$both"
fi
check "Nix finds nothing wrong" nix-store --verify --check-contents
sync
