#!/usr/bin/env bash
# NAR hashing against real Nix: `nix-store --dump | sha256sum` and `nix-hash --type sha256` of the same trees.
set -u
build=${BUILD:-build}
tool=$build/tests/tools/hash_tool
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$(dirname "$0")/../.." || exit 1

# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh

compare() { # NAME: the object $dir/o
	local ours theirs size
	read -r ours size < <("$tool" nar "$dir/o")
	theirs=$(nix-store --dump "$dir/o" | sha256sum | cut -d' ' -f1)
	[ -n "$ours" ] && [ "$ours" = "$theirs" ] && [ "$ours" = "$(nix-hash --type sha256 "$dir/o")" ] &&
		[ "$size" = "$(nix-store --dump "$dir/o" | wc -c)" ]
	report $? "same NAR as Nix's: $1"
	chmod -R u+w "$dir/o" 2>/dev/null
	rm -rf "$dir/o"
}

for size in 0 1 7 8 9 4095 4096 262000 262143 262144 262145 5000000; do
	head -c "$size" /dev/urandom >"$dir/o"
	compare "a file of $size bytes"
done
printf x >"$dir/o" && chmod 755 "$dir/o"
compare "an executable file"
printf x >"$dir/o" && chmod 654 "$dir/o"
compare "a file executable for its group only"
ln -s /nowhere/at/all "$dir/o"
compare "a dangling symlink"
mkdir "$dir/o"
compare "an empty directory"

# Byte order, not a locale's: capitals, signs, bytes above 127, a name that begins with another.
mkdir "$dir/o"
for name in a A b B _ - .hidden 'x y' ab 'ab.c' 'ab-c' $'\xff' $'\xc3\xa4' $'tab\there' zz '~'; do
	printf '%s' "$name" >"$dir/o/$name"
done
printf -v long 'n%.0s' {1..255}
touch "$dir/o/$long"
ln -s "$(printf 't%.0s' {1..4000})" "$dir/o/long-target"
mkdir "$dir/o/empty" "$dir/o/sub"
ln "$dir/o/a" "$dir/o/sub/hard-link"
compare "names in byte order, long ones, a hard link"

# 500 levels deep, something on each.
mkdir "$dir/o"
(
	cd "$dir/o" || exit 1
	for i in $(seq 500); do
		echo "$i" >f
		mkdir d z
		cd d || exit 1
	done
)
compare "500 levels of directories"

# Many entries; entries whose sizes meet the buffer's end at every offset.
mkdir "$dir/o"
for i in $(seq 3000); do head -c "$i" "$tool" >"$dir/o/f$i"; done
compare "3000 files of growing size"
cp -r --no-preserve=ownership common dbgen verity tests "$dir/" && mkdir "$dir/o" &&
	mv "$dir"/{common,dbgen,verity,tests} "$dir/o/"
compare "this source tree"

mkdir "$dir/o" && mkfifo "$dir/o/pipe"
"$tool" nar "$dir/o" 2>"$dir/err"
[ $? -eq 1 ] && grep -q 'o/pipe: it is a device, socket or FIFO' "$dir/err"
report $? "a FIFO is refused by name"
tap_end
