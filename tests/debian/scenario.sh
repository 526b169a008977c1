# Runs as a unit of the booted system, after everything else, behind say.sh: what systemd and Nix say.
export NIX_REMOTE=daemon

say running "$(systemctl is-system-running --wait)"
block failed systemctl --failed --no-legend --plain
block analyze systemd-analyze time
block blame systemd-analyze blame --no-pager
block critical systemd-analyze critical-chain --no-pager
block status underlay status
block timeline underlay timeline
block mounts systemctl show -p Id -p ActiveState -p Conflicts nix-.ro.mount nix-.rw.mount nix-store.mount nix-var.mount \
	nix-var-nix-gcroots-underlay.mount
say machine-id "$(cat /etc/machine-id)"
say first-boot "$(systemctl show -P ConditionResult systemd-firstboot.service)"
check "the system is a sealed store path" test -e "$(readlink /run/underlay/system)/init"
check "multi-user.target is reached" systemctl is-active multi-user.target
check "nix-daemon answers" nix --extra-experimental-features nix-command store ping
check "the daemon builds, as another user" setpriv --reuid 65534 --regid 65534 --clear-groups \
	env HOME=/tmp nix-build /etc/build.nix --no-out-link --option sandbox false
check "the daemon knows every sealed path" bash -c \
	'for p in /nix/.ro/nix/store/*; do nix-store --check-validity /nix/store/${p##*/} || exit 1; done'
check "garbage collection deletes nothing sealed" bash -c \
	'nix-store --gc && for p in /nix/.ro/nix/store/*; do test -e "/nix/store/${p##*/}" || exit 1; done'
check "the upper is marked clean at the end" systemctl is-active underlay-mark-clean.service
echo "end scenario 0" >&3
systemctl poweroff
