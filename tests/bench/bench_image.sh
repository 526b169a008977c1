#!/usr/bin/env bash
# How long an image takes against its filesystem's maker alone, on a closure of real files.
#   bench_image.sh [MEGABYTES]       default 400; RUNS=3 times each, the median is shown
# The store is made of the libraries and programs of this machine, one directory a path, canonical as Nix has it.
set -eu
underlay=$PWD/${BUILD:-build}/underlay
want=${1:-400}
runs=${RUNS:-3}
dir=$(mktemp -d "${TMPDIR:-/tmp}/bench-image.XXXXXX")
trap 'chmod -R u+w "$dir" 2>/dev/null; rm -rf "$dir"' EXIT
store=$dir/tree/nix/store
mkdir -p "$store"

size=0 n=0
while read -r kilobytes path && [ $((size / 1024)) -lt "$want" ]; do
	p=$(printf '%032d-%s' $n "$(basename "$path" | tr -c 'A-Za-z0-9\n' -)")
	cp -r --no-preserve=ownership,mode --no-dereference --preserve=links "$path" "$store/$p" 2>/dev/null ||
		true # some hold what nobody may read
	{
		echo "/nix/store/$p"
		printf '%064d\n%d\n\n0\n' 0 $((kilobytes * 1024))
	} >>"$dir/registration"
	size=$((size + kilobytes)) n=$((n + 1))
done < <(du -k -s /usr/lib/*/ /usr/share/*/ /usr/bin 2>/dev/null | awk '$1 > 500' | sort -n)
find "$store" -mindepth 1 ! -type d ! -type f ! -type l -delete
find "$store" -mindepth 1 -type f -exec chmod 444 {} +
find "$store" -mindepth 1 -type d -exec chmod 555 {} +
echo "closure: $n paths, $(find "$store" | wc -l) files, $(du -sm "$store" | cut -f 1) MB"

# seconds COMMAND...: median of the runs
seconds() {
	local i
	for i in $(seq "$runs"); do
		rm -f "$dir/out.img"
		/usr/bin/time -f %e -o "$dir/time" "$@" >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
		tail -n 1 "$dir/time"
	done | sort -n | sed -n "$(((runs + 1) / 2))p"
}

maker_erofs() {
	local z=("-z$1" -C65536)
	[ "$1" != none ] || z=()
	seconds mkfs.erofs --quiet -T1 -x-1 --all-root "${z[@]}" "$dir/out.img" "$dir/tree"
}
maker_squashfs() {
	seconds mksquashfs "$dir/tree" "$dir/out.img" -quiet -no-progress -no-xattrs -all-root -comp "$1"
}

printf '%-10s %-7s %10s %10s %7s %9s\n' format comp. 'maker, s' 'image, s' ratio MB
for row in "erofs none" "erofs lz4" "erofs lz4hc" "squashfs zstd"; do
	read -r format compression <<<"$row"
	alone=$("maker_$format" "$compression")
	whole=$(seconds "$underlay" image build -o "$dir/out.img" --registration "$dir/registration" \
		--store "$store" --name bench --version 1 --format "$format" --compression "$compression")
	printf '%-10s %-7s %10s %10s %7s %9s\n' "$format" "$compression" "$alone" "$whole" \
		"$(awk "BEGIN { printf \"%.2f\", $whole / $alone }")" $(($(stat -c %s "$dir/out.img") / 1000000))
done
