# The first boot, on an empty upper: it is on the disk, and takes what is built.
check "the upper is a filesystem on the disk, nosuid and nodev" \
	grep -Eq '^/dev/vd[a-z][0-9]* /nix/.rw ext4 rw,nosuid,nodev' /proc/mounts
check "Nix's state lies on it" grep -Eq '^/dev/vd[a-z][0-9]* /nix/var ext4 rw,nosuid,nodev' /proc/mounts
for attribute in $attributes; do
	path=$(nix-build /tmp/paths.nix -A "$attribute" -o "$roots/$attribute") || check "$attribute is built" false
	say path "$attribute=$path"
done
path=$(nix-store --realise "$(readlink -f "$system/share/built-later")" --add-root "$roots/builtLater") ||
	check "builtLater is built" false
path=$(readlink -f "$path")
say path "builtLater=$path"
check "it is this machine that built builtLater" same_text "$path" "made by the-appliance"
tell_boot
mark_clean
