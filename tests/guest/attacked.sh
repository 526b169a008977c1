# What the disk's writer could reach: nothing that is sealed.
tell_boot
sealed_unchanged
check "every sealed path is valid" nix-store --check-validity $(lower_paths)
nix-store --dump-db $(lower_paths) | block sealed-rows
check "the upper takes a new path" sh -c 'made=$(nix-store --add /proc/version) && nix-store --check-validity "$made"'
check "nothing of the upper is a device or runs as another user" \
	grep -Eq '^[^ ]+ /nix/store overlay rw,nosuid,nodev' /proc/mounts
# Nothing that this boot made has a sealed name; what earlier ones left may have any.
check "nobody but root reaches the layers" test "$(stat -c '%a %u %g' /nix/.rw)" = "700 0 0"
set -- /nix/.rw/sessions/*/up
check "there is one session" test $# = 1 -a -d "$1"
check "its names are looked at" cd "$1"
for name in * .[!.]*; do
	[ -e "/nix/.ro/nix/store/$name" ] && [ -e "$name" -o -L "$name" ] && say shadows "$name"
done
cd /
ls -la /nix/.rw | block upper
