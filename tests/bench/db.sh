#!/usr/bin/env bash
# Nix's database from a manifest: ours, by turns with `nix-store --load-db`, a load through SQLite's API, `cp`
# of the finished file and `zstd -d` of the compressed one. Generated stores of 1,000 to 1,000,000 paths; 63678 is the
# graph of a builder's store, with its 266,000 references: four a path on average, three in the median, none in a tenth.
#
#   tests/bench/db.sh [ROUNDS] [PATHS...]
#
# Written into a folder of BENCH_DIR (default: /dev/shm, a tmpfs of small pages), and, in the rows that say "upper",
# into a tmpfs as the boot's upper is one, with huge pages (initrd/stages/database.c). Every row is the time of a whole
# process; "in one process" is the work alone, without the start of a program.
set -u
cd "$(dirname "$0")/../.." || exit 1
# The upper's tmpfs is seen by nobody else, and is gone when the script is.
[ -n "${BENCH_PRIVATE:-}" ] || BENCH_PRIVATE=1 exec unshare --mount --propagation private "$0" "$@"
build=$(realpath "${BUILD:-build}")
rounds=${1:-7}
shift
sizes=("${@:-1000}")
[ $# -gt 0 ] || sizes=(1000 10000 100000 1000000 63678)
mkdir -p "$build/bench"
bench_dir=$(mktemp -d "${BENCH_DIR:-/dev/shm}/db.XXXXXX")
filesystem=$(stat -f -c %T "$bench_dir")
trap 'umount "$bench_dir/upper"; rm -rf "$bench_dir"' EXIT
mkdir "$bench_dir/upper" && mount -t tmpfs -o huge=within_size tmpfs "$bench_dir/upper" || exit 3
out=$bench_dir/out
# shellcheck source=tests/bench/lib.sh
. tests/bench/lib.sh
# Slow ones are measured up to these sizes, and not in every round.
load_db_limit=100000 load_db_rounds=2 sqlite_rounds=3

fresh() {
	rm -rf "$out"
	mkdir -p "$out"
}
ours() { "$build/underlay" db build "$manifest" -o "$out" "$@"; }
load_db() {
	env NIX_STATE_DIR="$out" NIX_STORE_DIR=/nix/store nix-store --load-db \
		<"$bench_dir/registration"
}
peak() { # COMMAND...: kilobytes of memory at its peak
	fresh
	/usr/bin/time -o "$bench_dir/peak" -f %M "$@" >/dev/null 2>&1 && cat "$bench_dir/peak"
}

maybe_load_db() { # ROUND NAME
	[ "$1" -gt "$load_db_rounds" ] || [ "$size" -gt "$load_db_limit" ] || bench_round "$2" load_db
}

round() { # NUMBER
	local n=$1
	fresh && bench_round "$size: ours, 2 threads" ours --threads 2
	# The last one written by us is what is copied and compared.
	mv "$out/db.sqlite" "$bench_dir/db.sqlite"
	fresh && bench_round "$size: cp of the result" cp "$bench_dir/db.sqlite" "$out/"
	fresh && bench_round "$size: ours, 1 thread" ours --threads 1
	cmp "$bench_dir/db.sqlite" "$out/db.sqlite" || exit 1
	fresh && bench_round "$size: ours, low memory" ours --low-memory
	cmp "$bench_dir/db.sqlite" "$out/db.sqlite" || exit 1
	fresh && bench_round "$size: ours, durable" ours --threads 2 --durable
	[ "$n" -gt 1 ] || zstd -q -3 -f "$bench_dir/db.sqlite" -o "$bench_dir/db.zst"
	fresh && bench_round "$size: zstd -d of the result" zstd -q -d "$bench_dir/db.zst" -o "$out/db.sqlite"
	fresh
	[ "$n" -gt "$sqlite_rounds" ] || bench_round "$size: SQLite's API" ours --sqlite
	fresh
	fresh && bench_given "$size: ours, in one process" \
		"$build/tests/bench/bench_build" "$manifest" "$out" 2
	fresh && bench_given "$size: ours, in one process, 1 thread" \
		"$build/tests/bench/bench_build" "$manifest" "$out" 1
	fresh
	maybe_load_db "$n" "$size: nix-store --load-db"
	local out=$bench_dir/upper/out
	fresh && bench_round "$size: ours, upper" ours --threads 2
	fresh && bench_round "$size: cp of the result, upper" cp "$bench_dir/db.sqlite" "$out/"
	fresh && maybe_load_db "$n" "$size: nix-store --load-db, upper"
	rm -rf "$out"
}

nanoseconds() { # NAME: of a path, of size of them
	awk -v t="$(bench_median "$1")" -v n="$size" 'BEGIN { printf "%.0f", t / n * 1e9 }'
}

# further NAME: nanoseconds of each path that a store has more than the one of the size before: the cost of a path
# without the start of a program and what else a run costs once.
further() {
	awk -v t="$(bench_median "$size: $1")" -v u="$(bench_median "$last: $1")" -v n="$size" -v m="$last" \
		'BEGIN { printf "%.0f", (t - u) / (n - m) * 1e9 }'
}

facts=() last=
for size in "${sizes[@]}"; do
	manifest=$bench_dir/manifest
	graph=()
	[ "$size" -ne 63678 ] || graph=(--graph builder)
	"$build/tests/bench/gen_store" "$size" "$size" "${graph[@]}" --odd 0 -o "$manifest" || exit 3
	"$build/underlay" manifest export --format registration "$manifest" >"$bench_dir/registration" || exit 3
	for n in $(seq "$rounds"); do round "$n"; done
	t=$(bench_median "$size: ours, 2 threads")
	u=$(bench_median "$size: ours, upper")
	facts+=(
		"nanoseconds_per_path_$size=$(nanoseconds "$size: ours, 2 threads")"
		"nanoseconds_per_path_in_one_process_$size=$(nanoseconds "$size: ours, in one process")"
		"nanoseconds_per_path_in_one_process_1_thread_$size=$(nanoseconds "$size: ours, in one process, 1 thread")"
		"peak_kilobytes_$size=$(peak "$build/underlay" db build "$manifest" -o "$out" --threads 2)"
		"peak_kilobytes_low_memory_$size=$(peak "$build/underlay" db build "$manifest" -o "$out" --low-memory)"
		"database_bytes_$size=$(stat -c %s "$bench_dir/db.sqlite")"
		"manifest_bytes_$size=$(stat -c %s "$manifest")"
		"ratio_to_cp_$size=$(ratio "$t" "$(bench_median "$size: cp of the result")")"
		"ratio_to_cp_upper_$size=$(ratio "$u" "$(bench_median "$size: cp of the result, upper")")"
	)
	if [ -n "$last" ] && [ "$size" -gt "$last" ] && [ "$size" -ne 63678 ]; then
		facts+=(
			"nanoseconds_per_further_path_${last}_to_$size=$(further "ours, 2 threads")"
			"nanoseconds_per_further_path_1_thread_${last}_to_$size=$(further "ours, 1 thread")"
		)
	fi
	[ "$size" -eq 63678 ] || last=$size
	if [ "$size" -le "$load_db_limit" ]; then
		facts+=(
			"times_faster_than_load_db_$size=$(ratio "$(bench_median "$size: nix-store --load-db")" "$t")"
			"times_faster_than_load_db_upper_$size=$(ratio "$(bench_median "$size: nix-store --load-db, upper")" "$u")"
		)
	fi
done

echo "Nix's database from a manifest on $filesystem, medians of $rounds rounds by turns"
printf '%-44s %10s %14s\n' '' 'median s' 'ns a path'
for name in "${bench_names[@]}"; do
	awk -v n="$name" -v t="$(bench_median "$name")" \
		'BEGIN { split(n, part, ":"); printf "%-44s %10.4f %14.0f\n", n, t, t / part[1] * 1e9 }'
done
printf '%s\n' "${facts[@]}" | sed 's/_/ /g; s/=/: /'
bench_json "${OUT:-$build/bench-db.json}" db "filesystem=\"$filesystem\"" "${facts[@]}"
