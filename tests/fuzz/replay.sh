#!/usr/bin/env bash
# Every fuzzing harness runs its seeds (tests/fuzz/seeds/NAME) and what was found and mended once
# (tests/rejects/NAME), under ASan and UBSan and with its bound on memory, each input whole and cut off.
set -u
build=${BUILD:-build}-asan/tests/fuzz
export ASAN_OPTIONS=abort_on_error=0:detect_leaks=1

n=0
for source in tests/fuzz/fuzz_*.c; do
	name=$(basename "$source" .c) dirs=()
	for dir in tests/fuzz/seeds/"${name#fuzz_}" tests/rejects/"${name#fuzz_}"; do
		[ ! -d "$dir" ] || dirs+=("$dir")
	done
	case $name in fuzz_path_info | fuzz_registration) dirs+=(tests/rejects/manifest) ;; esac
	n=$((n + ${#dirs[@]}))
	if [ ${#dirs[@]} -eq 0 ]; then
		echo "not ok - $name has no seeds"
		n=$((n + 1))
	elif ! "$build/$name" "${dirs[@]}" 2>"${TMPDIR:-/tmp}/replay.$$"; then
		echo "not ok - $name"
		tail -n 40 "${TMPDIR:-/tmp}/replay.$$" | sed 's/^/# /'
	fi
done
rm -f "${TMPDIR:-/tmp}/replay.$$"
echo "1..$n"
