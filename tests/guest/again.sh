# The second boot on the same image: what was built is there, valid, whole, and is not built again.
for attribute in $attributes; do
	path=$(eval "echo \$$attribute")
	check "$attribute is valid" nix-store --check-validity "$path"
	built=$(nix-build /tmp/paths.nix -A "$attribute" --no-out-link 2>/tmp/build.log)
	check "$attribute is not built again" test "$built" = "$path" -a "$(grep -c building /tmp/build.log)" = 0
done
check "builtLater is valid" nix-store --check-validity "$builtLater"
check "builtLater is what this machine built" same_text "$builtLater" "made by the-appliance"
judge
tell_boot
[ "$mode" != attach ] || remount_both_layers
collect
for attribute in $attributes builtLater; do
	check "the collector left $attribute" nix-store --check-validity "$(eval "echo \$$attribute")"
done
mark_clean
