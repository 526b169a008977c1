#!/bin/bash
# What the reader of the chapter does in the booted system, typed here by a unit: the answers go to the second serial
# port.
exec 3>/dev/ttyS1
say() { echo "say $*" >&3; }
check() {
	local name=$1
	shift
	if "$@" >/run/check.log 2>&1; then
		echo "ok - $name" >&3
	else
		echo "not ok - $name (status $?)" >&3
		tail -n 20 /run/check.log | sed 's/^/# /' >&3
	fi
}
PATH=$(readlink /run/underlay/system)/sw/bin:$PATH
export HOME=/root PAGER=cat SYSTEMD_COLORS=0

say running "$(systemctl is-system-running --wait)"
say failed "$(systemctl --failed --no-legend --plain)"
say host "$(cat /etc/hostname)"
say root "$(stat -f -c %T /) $(stat -c %a /)"
{ echo "begin status" && underlay status && echo "end status"; } >&3 2>&1
check "the packages of the configuration are there" test -x "$(command -v htop)"
check "the store is read-only" bash -c '! touch /nix/store/x'
check "nix-daemon answers" nix --extra-experimental-features nix-command store ping
check "Nix builds" nix-build /etc/build.nix --no-out-link --option sandbox false
check "garbage collection deletes nothing sealed" bash -c \
	'nix-store --gc; for p in /nix/.ro/nix/store/*; do test -e /nix/store/${p##*/} || exit 1; done'
check "the layer will be marked clean" systemctl is-active underlay-mark-clean.service
echo "end scenario 0" >&3
systemctl poweroff
