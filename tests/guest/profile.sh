# A new system in the upper, in the profile that the next boot is to start. It refers to a path that release 2 has not.
cat >/tmp/system.nix <<END
derivation {
  name = "own-system";
  system = "x86_64-linux";
  builder = (builtins.storePath "$busybox") + "/bin/busybox";
  only = builtins.storePath "$(readlink -f "$system/share/only")";
  args = [ "sh" "-c" ''
    $busybox/bin/busybox mkdir \$out
    echo "\$only" >\$out/only
    echo "#!$busybox/bin/busybox sh" >\$out/init
    for command in "stty -F /dev/ttyS1 raw" "echo say own-system >/dev/ttyS1" sync "poweroff -f"; do
      echo "$busybox/bin/busybox \$command" >>\$out/init
    done
    $busybox/bin/busybox chmod +x \$out/init
  '' ];
}
END
own=$(nix-build /tmp/system.nix --no-out-link)
check "the new system is built" test -x "$own/init"
check "it is the profile now" nix-env -p /nix/var/nix/profiles/system --set "$own"
mark_clean
