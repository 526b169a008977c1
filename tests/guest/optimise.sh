# Hard links for equal files, by Nix's own hand; what it makes of the sealed store is counted.
# copies DIR: names of it that are sealed, too.
copies() {
	ls "$1" | while read -r name; do
		[ "$name" = .links ] || [ ! -e "/nix/.ro/nix/store/$name" ] || echo "$name"
	done | wc -l
}

sealed_copies() {
	sum=0
	for layer in /nix/.rw/kept /nix/.rw/sessions/*/up; do
		[ ! -d "$layer" ] || sum=$((sum + $(copies "$layer")))
	done
	echo "$sum"
}

say copies-before "$(sealed_copies)"
if [ "$optimise" = yes ]; then
	check "nix-store --optimise runs" nix-store --optimise
	say copies-after "$(sealed_copies)"
fi
say quarantined "$(find /nix/.rw/quarantine -mindepth 2 2>/dev/null | wc -l)"
check "every sealed path is valid and whole" verify_all --check-contents
mark_clean
