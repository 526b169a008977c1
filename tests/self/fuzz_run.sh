#!/usr/bin/env bash
# tests/fuzz/run calls "clean" what is, and nothing else: stand-ins for a harness that find, leave, hang, do nothing.
set -u
cd "$(dirname "$0")/../.." || exit 3

# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
dir=$(mktemp -d) || exit 1
tap_at_exit 'rm -rf "$dir"'

# stand_in NAME BODY: a harness of libFuzzer's options, whose last words a good one has.
stand_in() {
	printf '#!/bin/bash\n%s\n' "$2" >"$dir/fuzz_$1"
	chmod +x "$dir/fuzz_$1"
}
runs='echo "stat::number_of_executed_units: 12"'

# judged NAME STATUS OUTCOME: the runner's status, and the end of the harness's line in its table
judged() {
	local status line
	FUZZ_SECONDS=1 FUZZ_LIMIT=${limit:-20} tests/fuzz/run "$dir/fuzz_$1" >"$dir/out" 2>&1
	status=$?
	line=$(grep "^fuzz_$1 " "$dir/out")
	tap_is "$1: the runner's status" $status "$2"
	tap "$1: its table says $3 ($line)" grep -qE "  $3" <<<"$line"
}

stand_in good "$runs"
judged good 0 'clean$'

stand_in abort "$runs; echo 'fuzz.c:1: wanted: x == 0' >&2; kill -ABRT \$\$"
judged abort 1 'FOUND: status 134: fuzz.c:1: wanted: x == 0$'

stand_in silent "$runs; exit 77"
judged silent 1 'FOUND: status 77: no sentence'

stand_in leaves "$runs; for o; do case \$o in -artifact_prefix=*) : >\${o#*=}crash-1 ;; esac; done"
judged leaves 1 'FOUND: 1 in .*/crash-1$'

stand_in earlier "$runs"
mkdir "$dir/fuzz_earlier.found"
: >"$dir/fuzz_earlier.found/oom-of-an-earlier-run"
judged earlier 1 'FOUND: 1 in .*/oom-of-an-earlier-run$'

limit=1 stand_in hangs "$runs; exec sleep 30"
limit=1 judged hangs 1 'FOUND: it did not end within 1 seconds$'

stand_in nothing 'exit 0'
judged nothing 1 'NOT RUN'

stand_in zero 'echo "stat::number_of_executed_units: 0"'
judged zero 1 'NOT RUN'

judged missing 1 'FOUND: status 127'

# One bad one among good ones, in whatever place.
FUZZ_SECONDS=1 FUZZ_LIMIT=20 tests/fuzz/run "$dir/fuzz_good" "$dir/fuzz_abort" "$dir/fuzz_good" >"$dir/out" 2>&1
tap_is "one of three: the runner's status" $? 1
tap_is "one of three: both good ones are clean" "$(grep -c 'clean$' "$dir/out")" 2

tests/fuzz/run >"$dir/out" 2>&1
tap_is "no harness at all is wrong usage" $? 2
tap_end
