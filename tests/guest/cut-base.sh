# What a power cut must not lose: built, registered, synced. The command line of later boots names it.
for attribute in $attributes; do
	path=$(nix-build /tmp/paths.nix -A "$attribute" -o "$roots/$attribute") && say path "$attribute=${path##*/}"
done
path=$(nix-store --realise "$(readlink -f "$system/share/built-later")" --add-root "$roots/builtLater") &&
	say path "builtLater=$(basename "$(readlink -f "$path")")"
mark_clean
