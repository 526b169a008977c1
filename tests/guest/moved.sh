# The upper meets the other release. $gone: names of paths that are valid no more; $stay: that still are.
# Release 2 has sealed what this machine built under release 1, to which it comes back.
built_later() {
	if [ "$release" = 2 ]; then
		same_text "$builtLater" "made by 2"
	else
		same_text "$builtLater" "made by the-appliance"
	fi
}
tell_boot
judge
check "the path that this machine built itself is the sealed one, or, back again, the machine's own" built_later
check "what has another content is this release's" same_text "$(readlink -f "$system/share/changed")" "made by $release"
check "what is new here can be used" grep -q 'has no such path' "$(readlink -f "$system/share/only")"
for attribute in $gone; do
	check "$attribute is not valid" invalid "$(eval "echo \$$attribute")"
done
for attribute in $stay; do
	check "$attribute is valid" nix-store --check-validity "$(eval "echo \$$attribute")"
done
check "big is whole" test "$(cat "$big"/deep/er/? | sha256sum)" = "$(for i in 0 1 2 3 4 5 6 7 8 9; do seq 1 3000; done | sha256sum)"
new=$(nix-store --add /proc/version)
check "a new path is valid" nix-store --check-validity "$new"
collect
for attribute in $stay; do
	check "the collector left $attribute" nix-store --check-validity "$(eval "echo \$$attribute")"
done
check "the collector took the new path" invalid "$new"
judge
mark_clean
