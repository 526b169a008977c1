#!/usr/bin/env bash
# tests/run and the helpers of tests/lib count what passed, and nothing else: made-up test programs that end too early,
# say nothing, skip, crash after their last line, compare nothing with nothing.
#
# Run by itself before all other tests as well (`make test`): a runner that passes everything would pass this, too.
set -u
cd "$(dirname "$0")/../.." || exit 3
top=$PWD
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failures=0 lines=0

line() { # STATUS NAME: by nothing of what is under test here
	lines=$((lines + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok - $2"
	else
		echo "not ok - $2"
		sed 's/^/# /' "$dir/out"
		failures=$((failures + 1))
	fi
}

program() { # NAME: its text comes from standard input
	{ printf '#!/usr/bin/env bash\n' && cat; } >"$dir/$1"
	chmod +x "$dir/$1"
}

# counted STATUS PASSED FAILED NAME [OPTION...]: what the runner makes of the program
counted() {
	local status
	LOGS=$dir/logs "$top/tests/run" "${@:5}" "$dir/$4" >"$dir/out" 2>&1
	status=$?
	[ "$status" -eq "$1" ] && [ "$(tail -n 1 "$dir/out")" = "$2 passed, $3 failed" ]
	line $? "$4: $2 passed, $3 failed"
}

# ---- the runner ----

program two-good <<<'echo "ok 1 - a"; echo "ok - b"; echo 1..2'
counted 0 2 0 two-good
program no-plan <<<'echo "ok 1 - a"; echo "ok - b"'
counted 1 2 1 no-plan
program no-plan-and-not-ok <<<'echo "ok 1 - a"; echo "not ok - b"; exit 1'
counted 1 1 1 no-plan-and-not-ok
program says-nothing <<<'exit 0'
counted 1 0 1 says-nothing
program zero-planned <<<'echo 1..0'
counted 1 0 1 zero-planned
program zero-planned-with-a-reason <<<'echo "1..0 # SKIP no such kernel"'
counted 1 0 1 zero-planned-with-a-reason
program crashes-at-once <<<'kill -SEGV $$'
counted 1 0 1 crashes-at-once
program crashes-after-the-last-line <<<'echo 1..1; echo "ok - a"; kill -SEGV $$'
counted 1 1 1 crashes-after-the-last-line
program status-alone <<<'echo 1..1; echo "ok - a"; exit 1'
counted 1 1 1 status-alone
program not-ok-and-status-0 <<<'echo 1..2; echo "ok - a"; echo "not ok - b"'
counted 1 1 1 not-ok-and-status-0
program skips <<<'echo 1..2; echo "ok - a"; echo "ok - b # SKIP"'
counted 1 1 1 skips
program skips-in-small-letters <<<'echo 1..2; echo "ok - a"; echo "ok - b # skip it"'
counted 1 1 1 skips-in-small-letters
program half-of-the-plan <<<'echo 1..2; echo "ok - a"'
counted 1 1 1 half-of-the-plan
program more-than-nothing-planned <<<'echo 1..0; echo "ok - a"'
counted 1 1 1 more-than-nothing-planned
program hangs <<<'echo 1..1; echo "ok - a"; exec sleep 30'
counted 1 1 1 hangs -t 1
program binary <<<'printf "ok - a\n\0\377\n"; echo "ok - b"; echo "ok - c"; echo 1..3'
counted 0 3 0 binary
counted 1 0 1 not-there

LOGS=$dir/logs tests/run >"$dir/out" 2>&1
[ $? -eq 2 ]
line $? "no program at all is wrong usage"
mkdir -p "$dir/a" && cp "$dir/two-good" "$dir/a/b_c" && mkdir -p "$dir/a_b" && cp "$dir/two-good" "$dir/a_b/c"
mkdir -p "$dir/a/b" && cp "$dir/crashes-at-once" "$dir/a/b/c"
LOGS=$dir/logs tests/run "$dir/a/b/c" "$dir/a_b/c" >"$dir/out" 2>&1
[ $? -eq 1 ]
line $? "two programs of one log: that is said"
program starts-another <<END
LOGS=$dir/logs "$top/tests/run" "$dir/two-good" >/dev/null && echo "ok - another run beside this one" && echo 1..1
END
LOGS=$dir/logs tests/run -j 1 "$dir/two-good" "$dir/starts-another" "$dir/binary" >"$dir/out" 2>&1
[ $? -eq 0 ] && [ "$(tail -n 1 "$dir/out")" = "6 passed, 0 failed" ]
line $? "two runs at a time"
LOGS=$dir/logs tests/run -j 2 "$dir/two-good" "$dir/crashes-at-once" "$dir/binary" >"$dir/out" 2>&1
[ $? -eq 1 ] && [ "$(tail -n 1 "$dir/out")" = "5 passed, 1 failed" ]
line $? "one of three"

# ---- tests/lib/tap.sh ----

tap_program() { # NAME: like program, with tap.sh
	{ printf 'set -u\ncd "%s" || exit 3\n. tests/lib/tap.sh\n' "$top" && cat && echo tap_end; } | program "$1"
}

tap_program tap-good <<<'tap a true; tap_is b x x; tap_none c true; tap_case tap d true; tap_case tap e true; tap_cases'
counted 0 5 0 tap-good
tap_program tap-of-nothing <<<'tap a'
counted 1 0 1 tap-of-nothing
tap_program tap-is-of-nothing <<<'tap_is a "$(cat nowhere 2>/dev/null)" "$(cat nowhere-else 2>/dev/null)"'
counted 1 0 1 tap-is-of-nothing
tap_program tap-none-of-nothing <<<'tap_none a nowhere; tap_none b echo x; tap_none c cat nowhere'
counted 1 0 3 tap-none-of-nothing
tap_program tap-case-dies <<<'case_of() { tap a true; echo $unset; tap b true; }; tap_case case_of; tap_cases'
counted 1 1 1 tap-case-dies
tap_program tap-case-exits <<<'case_of() { tap a true; exit 0; }; tap_case case_of; tap_cases'
counted 1 1 1 tap-case-exits
tap_program tap-half-a-line <<<'tap_none a printf x; tap b true; tap_none c printf y; tap d true'
counted 1 2 2 tap-half-a-line
tap_program tap-case-says-nothing <<<'tap a true; tap_case true; tap_cases'
counted 1 1 1 tap-case-says-nothing
tap_program tap-case-is-not-awaited <<<'tap a true; tap_case tap b false'
counted 1 1 2 tap-case-is-not-awaited
tap_program tap-case-fails <<<'tap_case tap a false; tap_case tap b true; tap_cases'
counted 1 1 1 tap-case-fails
tap_program tap-row <<<'tap a true; MATRIX=; tap_row tap b true; MATRIX=all; tap_row tap c true; tap_cases'
counted 0 2 0 tap-row

# A script that stops half-way: by each way out that there is, it has not passed, nor has it by its own status.
half() { # NAME FAILED: its text comes from standard input, tap_end is not the last line
	{ printf 'set -u\ncd "%s" || exit 3\n. tests/lib/tap.sh\ntap a true\n' "$top" && cat; } | program "half-$1"
	counted 1 1 "$2" "half-$1"
	"$dir/half-$1" >"$dir/out" 2>&1
	[ $? -ne 0 ] && [ "$(grep -c '^1\.\.' "$dir/out")" = 0 ]
	line $? "half-$1: it fails by itself, and prints no plan"
}
half exits-with-0 1 <<<'exit 0; tap_end'
half exits-in-a-function 1 <<<'stop() { exit; }; stop; tap_end'
half returns-from-main 1 <<<'main() { return; tap b true; tap_end; }; main'
half unset-variable 1 <<<'echo "$nobody_set_this"; tap_end'
half set-e 1 <<<'set -e; false; tap_end'
half no-tap-end 1 <<<'tap_dir=$tap_dir'
half syntax 1 <<<'if then; tap_end'
half end-in-a-subshell 1 <<<'(tap_end >/dev/null); true'
half killed 1 <<<'kill -KILL $$; tap_end'
half not-ok-before 2 <<<'tap b false; exit 0'
tap_program becomes-another <<<'tap a true; exec true'
counted 1 1 1 becomes-another
tap_program no-checks <<<':'
counted 1 0 1 no-checks
"$dir/no-checks" >"$dir/out" 2>&1
[ $? -eq 1 ] && grep -qx '1\.\.0' "$dir/out"
line $? "no-checks: it fails by itself"
# Who sources the library for something else is no script of tests.
program no-tests <<<"cd '$top' && . tests/lib/tap.sh && exit 0"
"$dir/no-tests" >"$dir/out" 2>&1
[ $? -eq 0 ] && [ ! -s "$dir/out" ]
line $? "no-tests: its status is its own"
counted 1 0 1 no-tests
tap_program tap-lines <<<'printf "ok - a\n# x\nok - b\n" | tap_lines; tap c true'
counted 0 3 0 tap-lines
tap_program tap-lines-not-ok <<<'printf "ok - a\nnot ok - b\n" | tap_lines'
counted 1 1 1 tap-lines-not-ok
tap_program lines-that-are-lost <<<'tap a true; tap b true >/dev/null'
counted 1 1 1 lines-that-are-lost
tap_program nobodys-lines <<<'tap a true; echo "ok - b"'
counted 1 2 1 nobodys-lines
program at-exit <<END
cd "$top" && trap 'echo first >>"$dir/ends"' EXIT && . tests/lib/tap.sh
tap_at_exit 'echo second >>"$dir/ends"'; tap_at_exit 'echo "third \$tap_ended" >>"$dir/ends"'
echo "\$tap_dir" >"$dir/where"
tap a true
tap_end
END
counted 0 1 0 at-exit
[ "$(cat "$dir/ends")" = "third yes
second
first" ] && [ ! -e "$(cat "$dir/where")" ] && [ -s "$dir/where" ]
line $? "at-exit: what was asked for is done, the last first, and the folder goes"

# ---- tests/lib/honest.sh ----

# shellcheck source=tests/lib/honest.sh
. tests/lib/honest.sh

holds() { # NAME COMMAND...
	local name=$1
	shift
	"$@" >"$dir/out" 2>&1
	line $? "$name"
}
refuses() { # NAME COMMAND...: the helper says no, with 1 or jq's 4
	local name=$1 got
	shift
	"$@" >"$dir/out" 2>&1
	got=$?
	[ $got -eq 1 ] || [ $got -eq 4 ]
	line $? "$name"
}
echo text >"$dir/text"
echo text >"$dir/text-again"
echo other >"$dir/other"
echo '{"a": true, "b": false}' >"$dir/json"
: >"$dir/empty"

holds "fails: the status and the words" fails 3 'no file: x$' bash -c 'echo "no file: x" >&2; exit 3'
refuses "fails: the command succeeds" fails 3 . echo x
refuses "fails: another status" fails 3 'no file' bash -c 'echo "no file" >&2; exit 2'
refuses "fails: other words" fails 3 'no file' bash -c 'echo "usage:" >&2; exit 3'
refuses "fails: no such command" fails 1 . no-such-command
holds "fails: under set -e too" bash -ec 'fails 1 . sh -c "echo x; exit 1"; true'
refuses "fails: under set -e it ends the script" bash -ec 'fails 1 . echo x; true'
holds "lacks: the file has it not" lacks -q other "$dir/text"
refuses "lacks: it has" lacks -q text "$dir/text"
refuses "lacks: there is no file" lacks -q other "$dir/nowhere"
refuses "lacks: no pattern" lacks -q '[' "$dir/text"
refuses "lacks: under set -e it ends the script" bash -ec 'lacks -q text "$1"; true' _ "$dir/text"
holds "same: two files" same "$dir/text" "$dir/text-again"
refuses "same: two others" same "$dir/text" "$dir/other"
refuses "same: two empty ones" same "$dir/empty" "$dir/empty"
refuses "same: none" same "$dir/nowhere" "$dir/nowhere"
mkdir "$dir/nothing" "$dir/full" && touch "$dir/full/.x"
holds "is_empty_dir: it is" is_empty_dir "$dir/nothing"
refuses "is_empty_dir: it holds a hidden file" is_empty_dir "$dir/full"
refuses "is_empty_dir: there is none" is_empty_dir "$dir/nowhere"
refuses "is_empty_dir: it is a file" is_empty_dir "$dir/empty"
holds "says_nothing" says_nothing cat "$dir/empty"
refuses "says_nothing: it says something" says_nothing echo x
refuses "says_nothing: it fails" says_nothing cat "$dir/nowhere"
[ "$(lines_of cat "$dir/text" "$dir/other") $(lines_of cat "$dir/empty")" = "2 0" ] >"$dir/out" 2>&1
line $? "lines_of: two, and none"
[ "$(lines_of ls "$dir/nowhere" 2>"$dir/out")" = "" ]
line $? "lines_of: a command that fails has no number"
holds "same_output" same_output 'cat "$dir/text" | sort' 'cat "$dir/text-again"'
refuses "same_output: another" same_output 'cat "$dir/text"' 'cat "$dir/other"'
refuses "same_output: another end" same_output 'printf x' 'printf "x\n"'
refuses "same_output: nothing" same_output 'cat "$dir/empty"' 'cat "$dir/empty"'
refuses "same_output: the first part of a pipeline fails" same_output 'cat "$dir/text" "$dir/nowhere" | sort' 'cat "$dir/text"'
refuses "same_output: both fail" same_output 'echo x && false' 'echo x && false'
holds "equal" equal x x
refuses "equal: another" equal x y
refuses "equal: nothing" equal "" ""
holds "differ" differ x y
refuses "differ: the same" differ x x
refuses "differ: one is nothing" differ x ""
take_lines got printf 'a b\nc\n' >"$dir/out" 2>&1 && [ "${#got[@]} ${got[0]}" = "2 a b" ]
line $? "take_lines: two"
refuses "take_lines: none" take_lines got cat "$dir/empty"
refuses "take_lines: the command fails" take_lines got sh -c 'echo x; exit 1'
holds "jq -e: true" jq -e .a "$dir/json"
refuses "jq -e: false" jq -e .b "$dir/json"
refuses "jq -e: an empty file" jq -e .a "$dir/empty"
refuses "jq -ce: an empty file" jq -ce .a "$dir/empty"
refuses "jq -e: nothing from a pipe, in another bash" bash -c 'false | jq -e .a'
holds "jq without -e is jq" jq .b "$dir/json"
echo "1..$lines"
exit $((failures > 0))
