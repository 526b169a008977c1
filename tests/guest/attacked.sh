# What the disk's writer could reach: nothing that is sealed. /data/sealed has the SHA-256 of every sealed file, made
# from the image's source; /data/sealed.names the names, whose files' types, modes and targets are compared with the
# lower's own.
tell_boot
cd /nix/store
sha256sum -c /data/sealed >/tmp/sums 2>&1
grep -v ': OK$' /tmp/sums >/tmp/wrong
check "every sealed file has its content" \
	test ! -s /tmp/wrong -a -s /data/sealed -a "$(wc -l </tmp/sums)" = "$(wc -l </data/sealed)"
sed 's/^/say wrong /' /tmp/wrong | head -n 20 >&3
list() {
	(cd "$1" && xargs -0 sh -c 'find "$@" -exec stat -c "%N %F %a %s" {} +' find </data/sealed.names) | sort
}
# A directory's size is its filesystem's own; everything else of it counts.
list /nix/store | sed 's/ directory \([0-7]*\) [0-9]*$/ directory \1/' >/tmp/seen
list /nix/.ro/nix/store | sed 's/ directory \([0-7]*\) [0-9]*$/ directory \1/' >/tmp/sealed
check "there are sealed paths" test -s /tmp/sealed
check "every sealed path has its files, their types, modes and targets, and no others" cmp /tmp/seen /tmp/sealed
diff /tmp/seen /tmp/sealed | grep '^[<>]' | head -n 20 | sed 's/^/say differs /' >&3
cd /
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
