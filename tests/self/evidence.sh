#!/usr/bin/env bash
# tests/lint/evidence.py refuses each kind of evidence that cannot fail, and takes what is right.
set -u
cd "$(dirname "$0")/../.." || exit 3
lint=$PWD/tests/lint/evidence.py
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
dir=$(mktemp -d) || exit 1
tap_at_exit 'rm -rf "$dir"'

# judged NAME WANTED [FILE]: of the script on standard input: "LINE: KIND" of each finding, in one line
judged() {
	local file=$dir/${3:-tests/lib/script.sh}
	mkdir -p "${file%/*}"
	cat >"$file"
	"$lint" "$file" 2>"$dir/out"
	echo "status $?" >>"$dir/out"
	tap_is "$1" "$(sed -n "s|^lint: evidence: $file:\([0-9]*: [a-z]*\): .*|\1|p; s/^status/status/p" "$dir/out" | paste -sd ,)" "$2"
}

judged "not: a negated command, wherever a statement can stand" "1: not,2: not,3: not,4: not,5: not,6: not,status 1" <<'END'
! grep -q x file
	! touch "$root/x" 2>/dev/null
true; ! grep -q x file
[ "$a" = b ] && ! grep -q x file
bash -c "! grep x file"
! "$program" || touch failed
END
judged "not: conditions, tests and find may" "status 0" <<'END'
if ! command; then exit 1; fi
	elif ! "$program"; then
[ ! -e "$file" ] && find . ! -name x
[[ ! $x == y ]]
# ! grep in a comment
echo "no! grep"
lacks -q x file
END
judged "and: all but the last of a quoted script with set -e" "3: and,6: and,status 1" <<'END'
run '
	set -e
	[ -f a ] && [ ! -s a ]
	grep x y
	for d in a b; do
		[ -d "$d" ] && [ ! -L "$d" ]
	done
	[ -f b ] && [ -f c ]' "" more && true
[ -f d ] && [ -f e ]
true
END
judged "and: over several lines, and in double quotes" "2: and,status 1" <<'END'
run "set -e
	grep -q x y &&
		grep -q z y
	true"
END
judged "and: of a whole file" "2: and,status 1" <<'END'
set -eu
a && b
c || d && e
x=$(cd a && pwd)
if a && b; then c; fi
a && b
END
judged "and: a script in a here-document ends with it" "3: and,status 1" <<'OUTER'
cat <<-'END'
	set -eu
	a && b
	true
END
a && b
true
OUTER
judged "status: of an assignment, and of local" "2: status,5: status,6: status,status 1" <<'END'
outcome=clean
if [ $? -ne 0 ]; then
x=$(command)
[ $? -eq 0 ]
local x=$(command)
export y="$(command)"
command || x=$?
local z=$((1 + 1))
END
judged "empty: a test of an empty word, and of two empty texts" "1: empty,2: empty,3: empty,status 1" <<'END'
[ -n $x ]
if [ -e $kept ]; then true; fi
tap_is "nothing is left" "$(ls nowhere)" ""
[ -n "$x" ]
tap_is "it is this" "$(command)" this
END
judged "hides: without a reason" "1: hides,2: hides,status 1" <<'END'
grep -c x y || true
bash -c 'a || :'
grep -c x y || true # grep's status is 1 at none
END
judged "jq: -e where nobody defined it" "1: jq,2: jq,status 1" <<'END'
jq -e .x file
command | jq -c -re .x
jq -r .x file
END
judged "jq: -e with tap.sh" "status 0" <<'END'
. tests/lib/tap.sh
jq -e .x file
END
for folder in host qemu self nixos; do
	judged "end: of a program in tests/$folder" "1: end,status 1" tests/$folder/x.sh <<<'report $? "the last one"'
	judged "end: tap_end in tests/$folder" "status 0" tests/$folder/y.sh <<<'tap_end'
done
judged "end: a status alone, without a plan" "2: end,status 1" tests/self/z.sh <<<$'echo "ok - a"\nexit $((failures > 0))'
judged "end: a status, with a plan" "status 0" tests/self/z.sh <<<$'echo "ok - a"\necho "1..$lines"\nexit $((failures > 0))'
judged "trap: where tap.sh has its own" "3: trap,status 1" tests/any/script.sh <<'END'
trap 'rm -rf "$dir"' EXIT
. tests/lib/tap.sh
trap 'rm -rf "$dir" "$tap_dir"' EXIT
tap_at_exit 'rm -rf "$dir"'
	trap 'of a function, in another shell' EXIT
END
judged "trap: in a helper of the tests" "1: trap,status 1" tests/lib/z.sh <<<'trap cleanup EXIT'
judged "end: a helper needs none" "status 0" tests/lib/y.sh <<<'true'
tap "the tree has none of it" "$lint"
tap_end
