# Nix itself judges the store: what it knows, that all of it is whole, that it can grow, and that what is
# sealed stays.

echo "begin state" >&3
cat /run/underlay/state.json >&3
echo "end state" >&3
say nix "$(nix --version)"
say kernel "$(uname -r)"

lower_paths >/tmp/lower
say lower-paths "$(wc -l </tmp/lower)"

say ctrl-alt-del "$(cat /proc/sys/kernel/ctrl-alt-del)"
check "Nix calls every sealed path valid" timed check-validity nix-store --check-validity $(cat /tmp/lower)
timed path-info nix path-info --json --all >/tmp/path-info
echo "begin path-info" >&3
cat /tmp/path-info >&3
echo >&3
echo "end path-info" >&3

check "nix-store --verify --check-contents is clean" timed verify nix-store --verify --check-contents

cat >/tmp/new.nix <<END
derivation {
  name = "made-here";
  system = "x86_64-linux";
  builder = (builtins.storePath "$(readlink -f $system/bin/busybox | sed 's|/bin/busybox||')") + "/bin/busybox";
  args = [ "sh" "-c" "echo made on the appliance >\$out" ];
}
END
made=$(timed build nix-build /tmp/new.nix -o /root/result)
say made "$made"
check "nix-build makes a new path" grep -qx "made on the appliance" "$made"
check "the new path is valid" nix-store --check-validity "$made"
check "the new path is in the upper" test -f "$(echo /nix/.rw/sessions/*/up)/${made##*/}"
check "the new path refers to nothing it should not" test "$(nix-store -q --references "$made" && echo end)" = end

garbage=$(nix-store --add /proc/version)
check "garbage is valid before the collection" nix-store --check-validity "$garbage"
timed collect nix-collect-garbage >/tmp/collected 2>&1
say collected "$(tail -n 1 /tmp/collected)"
check "the collector took the garbage" test ! -e "$garbage"
check "the collector left the new path" test -f "$made"
ls /nix/store >/tmp/after
sed 's|.*/||' /tmp/lower | grep -vxFf /tmp/after >/tmp/lost
check "every sealed path is in everybody's view" test ! -s /tmp/lost
check "Nix calls every sealed path valid after the collection" nix-store --check-validity $(cat /tmp/lower)
