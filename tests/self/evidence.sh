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
judged "empty: a command that fails says nothing" "1: empty,2: empty,3: empty,4: empty,status 1" <<'END'
[ -z "$(ls "$dir")" ]
test -z "$(find "$dir" -type l)" && [ -z "$(cat x)" ]
run '[ -d x ] && [ -z "$(ls -A x)" ]'
run "[ -z \"\$(ls /nix/store/alias)\" ]"
[ -z "$said" ]
is_empty_dir "$dir"
says_nothing find "$dir" -type l
END
judged "count: none, or at most so many, of a command that fails" "1: count,2: count,3: count,4: count,status 1" <<'END'
[ "$(ls "$dir" | wc -l)" = 0 ]
[ "$(find x | grep y | wc -l)" -eq 0 ]
test "$(ls "$dir" | wc -l)" -lt 8
tap_is "nothing is left" "$(ls "$dir" | wc -l)" 0
[ "$(ls "$dir" | wc -l)" = 2 ]
[ "$(lines_of ls "$dir")" -lt 8 ]
END
judged "sides: what fails inside is not seen" "1: sides,2: sides,3: sides,4: sides,status 1" <<'END'
diff <(ls a) <(ls b)
command | cmp -s - <("$other" help)
cmp "$dir/file" <(head -c 10 "$dir/other")
run 'diff <(printf "%s\n" a | sort) b'
cmp "$root/file" <(echo library)
cmp file <(printf '%s\n' "$a") && true
same_output 'ls a' 'ls b'
END
judged "equal: two commands that fail, or one" "1: equal,2: equal,3: equal,status 1" <<'END'
[ "$(cat a)" = "$(cat b)" ]
[ -e a ] && [ "$(stat -c %i a)" != "$(cat b)" ]
run "[ \"\$(cat a)\" = \"\$(cat b)\" ]"
equal "$(cat a)" "$(cat b)"
[ "$(stat -c %i a)" = $((1 + 2)) ]
[ "$(wc -l <a)" -eq "$(wc -l <b)" ]
END
judged "absent: a condition that a file which is not there meets" "1: absent,2: absent,3: absent,status 1" <<'END'
if ! grep -q x "$file"; then
	elif ! grep -a -qE x "$file"; then
if [ -e a ] && ! grep -q x "$file"; then
if grep -q x "$file"; then
if lacks -q x "$file"; then
END
judged "pipe: the status of sort" "1: pipe,2: pipe,3: pipe,status 1" <<'END'
found=$(find "$dir" | sort) || found="it cannot be read"
x=$(readelf -d y | sed -n 's/x//p') && z
	if x=$(ls y | head -n 1); then
found=$(find "$dir") || found="it cannot be read"
x=$(ls | grep y) || exit 1
if x=$(ls y); then
END
judged "loop: over a command that fails" "1: loop,2: loop,5: loop,status 1" <<'END'
for file in $(find "$dir" | sort); do
	for name in $(ls x); do true; done
while read -r line; do
	true
done < <(command)
for i in $(seq 3); do
for file in $files; do
for word in $(words); do # there may be none
for i in $((1 + 2)); do
END
judged "loop: in a guest they are not at hand" "status 0" tests/guest/x.sh <<<'for i in $(ls); do'
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
