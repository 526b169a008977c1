# What the reader of the chapter does in the booted system, typed here by a unit, behind tests/debian/say.sh.
PATH=$(readlink /run/underlay/system)/sw/bin:$PATH

say running "$(systemctl is-system-running --wait)"
say failed "$(systemctl --failed --no-legend --plain)"
say host "$(cat /etc/hostname)"
say root "$(stat -f -c %T /) $(stat -c %a /)"
block status underlay status
check "the packages of the configuration are there" test -x "$(command -v htop)"
check "the store is read-only" bash -c 'touch /nix/store/x 2>&1 | grep "Read-only file system"'
check "nix-daemon answers" nix --extra-experimental-features nix-command store ping
check "Nix builds" nix-build /etc/build.nix --no-out-link --option sandbox false
check "garbage collection deletes nothing sealed" bash -c \
	'nix-store --gc; for p in /nix/.ro/nix/store/*; do test -e /nix/store/${p##*/} || exit 1; done'
check "the layer will be marked clean" systemctl is-active underlay-mark-clean.service
echo "end scenario 0" >&3
systemctl poweroff
