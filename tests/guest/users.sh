# A machine with a nix-daemon, as README and underlay-init(8) say: everybody's nix.conf sends him to the daemon, which
# alone has the boot's file. A user without rights builds, adds, has a profile, and sees what is sealed.
printf 'root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/tmp/home:/bin/sh\n' >/etc/passwd
printf 'root:x:0:\nuser:x:1000:\n' >/etc/group
mkdir -p /tmp/home && chown 1000:1000 /tmp/home && chmod 1777 /tmp
as_user() {
	su -s /bin/sh user -c "export HOME=/tmp/home USER=user; $*"
}
sealed=$(lower_paths)

# What the one line for root alone does to him: that is why there are two files.
if [ "$mode" = attach ]; then
	check "with the daemon's own file a user is refused" fails 1 'Permission denied' as_user nix-store --check-validity $(echo "$sealed" | head -n 1)
fi
sed -i 's|!include /run/underlay/nix.conf|!include /run/underlay/users.conf|' /etc/nix/nix.conf
check "nix.conf is everybody's" grep -q 'users.conf' /etc/nix/nix.conf
env 'NIX_CONFIG=!include /run/underlay/nix.conf' nix-daemon >/tmp/daemon.log 2>&1 &
for i in $(seq 100); do
	[ -S /nix/var/nix/daemon-socket/socket ] && break
	sleep 0.1
done
check "the daemon listens" test -S /nix/var/nix/daemon-socket/socket
check "to a user every sealed path is valid" as_user nix-store --check-validity $sealed
check "he adds a path" as_user 'nix-store --add /proc/version >/tmp/home/added'
check "it is valid to him" as_user 'nix-store --check-validity $(cat /tmp/home/added)'
check "and to root" nix-store --check-validity "$(cat /tmp/home/added)"
cat >/tmp/home/users.nix <<END
derivation {
  name = "of-a-user";
  system = "x86_64-linux";
  builder = (builtins.storePath "$busybox") + "/bin/busybox";
  args = [ "sh" "-c" "echo built >\$out" ];
}
END
check "he builds" as_user 'nix-build /tmp/home/users.nix -o /tmp/home/result'
check "what he built is there" same_text /tmp/home/result built
check "he has a profile" as_user 'nix-env -p /tmp/home/profile --set $(readlink /tmp/home/result)'
check "it is a root of the collector's" test "$(as_user nix-store --query --roots $(readlink /tmp/home/result) | grep -c /tmp/home)" -ge 1
check "he collects, and the build stays" as_user 'nix-store --gc && nix-store --check-validity $(readlink /tmp/home/result)'
check "so does everything that is sealed" as_user nix-store --check-validity $sealed
check "he cannot write the store himself" fails 1 'Permission denied' as_user 'touch /nix/store/x'
check "nor the database" fails 1 'Permission denied' as_user 'touch /nix/var/nix/db/x'
cat /tmp/daemon.log | block daemon
