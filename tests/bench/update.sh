#!/usr/bin/env bash
# `underlay update` of a whole slot, which compares every block with the root hash and reads it back, against dd, which
# does neither, by turns: both write past the page cache, and wait for the disk.
#   update.sh [MEGABYTES]...         default 64 256 1024; RUNS=5 times each, medians
# TMPDIR: on the disk that is to be measured; a tmpfs knows nothing of O_DIRECT.
set -eu
underlay=$PWD/${BUILD:-build}/underlay
runs=${RUNS:-5}
bench_dir=$(mktemp -d "${TMPDIR:-/var/tmp}/bench-update.XXXXXX")
trap 'rm -rf "$bench_dir"' EXIT
. tests/bench/lib.sh

# Contents that no compressor makes smaller; of two versions, since the same image is not written twice.
make_images() { # MEGABYTES
	local store=$bench_dir/store path
	rm -rf "$store" "$bench_dir"/image
	path=$(printf '%032d-random' 0)
	mkdir -p "$store/$path"
	head -c "${1}000000" /dev/urandom >"$store/$path/file"
	printf '%s\n%064d\n%d\n\n0\n' "/nix/store/$path" 0 "${1}000000" >"$bench_dir/registration"
	"$underlay" image build -o "$bench_dir/image" --registration "$bench_dir/registration" --store "$store" --name bench \
		--version 1 --compression none --key "$bench_dir/key" --cert "$bench_dir/crt" >"$bench_dir/log" 2>&1
	rm -rf "$store"
}

# A slot of the image's size, whose blocks the disk has given out already.
make_disk() {
	rm -f "$bench_dir/disk"
	fallocate -l $(($(stat -c %s "$bench_dir/image") + 16000000)) "$bench_dir/disk"
	name_free
}
name_free() {
	sfdisk --dump "$bench_dir/image" | sed '/^device:/d; /^last-lba:/d; s/^label-id:.*//; s/name="[^"]*"/name="_empty"/; s/, uuid=[^,]*//; s/, attrs="[^"]*"//; s/^.* : start/start/' |
		sfdisk -q --wipe never --no-reread --no-tell-kernel "$bench_dir/disk"
}

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=bench -keyout "$bench_dir/key" -out "$bench_dir/crt" 2>/dev/null
printf '%8s %12s %12s %14s\n' MB 'dd, MB/s' 'update, MB/s' 'of dd'
[ $# -gt 0 ] || set -- 64 256 1024
for size; do
	make_images "$size"
	make_disk
	for ((i = 0; i < runs; i++)); do
		name_free
		bench_round "dd-$size" dd if="$bench_dir/image" of="$bench_dir/disk" bs=1M skip=1 seek=1 oflag=direct \
			conv=notrunc,fdatasync count=$(($(stat -c %s "$bench_dir/image") / 1048576 - 2))
		dd if=/dev/zero of="$bench_dir/disk" bs=1M count=1 conv=notrunc status=none
		name_free
		bench_round "update-$size" "$underlay" update "$bench_dir/image" --disk "$bench_dir/disk" --cert "$bench_dir/crt"
	done
	awk -v s="$size" -v d="$(bench_median "dd-$size")" -v u="$(bench_median "update-$size")" \
		'BEGIN { printf "%8d %12.0f %12.0f %14.2f\n", s, s / d, s / u, d / u }'
done
bench_json build/bench-update.json "update of a slot" "runs=$runs"
