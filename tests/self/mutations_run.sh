#!/usr/bin/env bash
# tests/mutations/run calls "red" what a test has seen, and nothing else: a small tree of its own, with mutations that
# change nothing, cannot be made, do not compile, crash, hang.
set -u
cd "$(dirname "$0")/../.." || exit 3

# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
dir=$(mktemp -d) || exit 1
tap_at_exit 'rm -rf "$dir"'
tree=$dir/tree
mkdir -p "$tree/lists" "$tree/build/lint"
touch "$tree/build/lint/left-behind"
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$tree/build/console"

cat >"$tree/value.c" <<'END'
/* It answers: and that
 * is its only promise. */
int main(void)
{
	int unused = 7;
	return 42;
}
END
cat >"$tree/Makefile" <<'END'
.PHONY: programs tools
programs: build/value
tools:
build/value: value.c
	$(CC) -Wall -Werror $(WARNINGS) -o $@ $<
END
# A test, and one that never looks.
cat >"$tree/test" <<'END'
#!/bin/bash
[ ! -e build/lint ] || echo "not ok 1 - what nobody needs is copied"
build/value; status=$?
case $status in 1) kill -SEGV $$ ;; 2) sleep 30 ;; 3) echo "not ok 2 - the answer"; exit 0 ;; 4) exit 1 ;; 5) echo "not ok 3 - something else"; exit 1 ;; esac
[ $status = 42 ] && echo "ok 2 - the answer" || { echo "not ok 2 - the answer"; exit 1; }
END
printf '#!/bin/bash\necho "ok - the answer"\n' >"$tree/blind"
printf '#!/bin/bash\necho "not ok - the answer"\nexit 1\n' >"$tree/broken"
chmod +x "$tree"/{test,blind,broken}

# mutation NAME OLD NEW [PROGRAM [PATTERN [WORDS]]]: a list with this one mutation of value.c
mutation() {
	rm -f "$tree"/lists/*
	printf 'name: %s\npromise: it answers\nmade: value.c: %s\nfile: value.c\n-%s\n+%s\nred: %s: %s\n' "$1" \
		"${6:-answers: and that is its only promise.}" "$2" "$3" "${4:-./test}" "${5:-^the answer}" >"$tree/lists/$1.txt"
}
round() {
	tests/mutations/run -j 1 -C "$tree" -l "$tree/lists" "$@" >"$dir/out" 2>&1
}
# judged NAME STATUS OUTCOME [ARGUMENT...]: its status, and the end of the mutation's row in the table
judged() {
	local status row
	round "${@:4}"
	status=$?
	row=$(grep -a "^| it answers | $1 |" "$dir/out")
	tap_is "$1: its status" "$status" "$2"
	tap "$1: its table says $3 ($row)" grep -qE "\| $3 \|$" <<<"$row"
	tap_is "$1: the tree is as it was" "$(sed -n '/return/p' "$tree/value.c") $(ls "$tree")" $'\treturn 42; Makefile\nblind\nbroken\nbuild\nlists\ntest\nvalue.c'
}
# refused NAME STATUS SENTENCE [ARGUMENT...]: no table at all
refused() {
	round "${@:4}"
	tap_is "$1: its status" $? "$2"
	tap "$1: it says so" grep -qE "$3" "$dir/out"
	tap "$1: no table" lacks -q '^| it answers' "$dir/out"
}
answer=$'\treturn 42;'

mutation seen "$answer" $'\treturn 43;'
judged seen 0 red
tap "seen: what the tests said is kept" grep -q '^not ok 2 - the answer' "$tree/build/mutations/seen.log"
mutation same "$answer" "$answer"
judged same 1 SURVIVED
mutation survives "$answer" $'\treturn 43;' ./blind
judged survives 1 SURVIVED
mutation gone $'\treturn 41;' "$answer"
judged gone 1 'cannot be applied: value.c has the old lines 0 times'
mutation half 'return 42;' $'\treturn 43;'
judged half 1 'cannot be applied: value.c has the old lines 0 times'
sed -i 's/int unused = 7;/return 42;/' "$tree/value.c"
mutation twice "$answer" $'\treturn 43;'
round
tap_is "twice: its status" $? 1
tap "twice: its table says so" grep -qE '\| cannot be applied: value.c has the old lines 2 times \|$' "$dir/out"
sed -i '0,/return 42;/s//int unused = 7;/' "$tree/value.c"
mutation unmade "$answer" $'\treturn 43;' ./test . 'It asks.'
judged unmade 1 'cannot be applied: value.c no longer says: It asks\.'
mutation compiles-not "$answer" $'\treturn;'$'\n''+}'
judged compiles-not 1 'does not build: make ends with 2'
# What the compiler would only warn of is built.
mutation warned $'\tint unused = 7;' $'\tint unused = 7, more; return 43;'
judged warned 0 red
mutation crashes "$answer" $'\treturn 1;'
judged crashes 1 'crashed: status -11'
mutation hangs "$answer" $'\treturn 2;'
MUTATIONS_LIMIT=2 judged hangs 1 'did not end'
mutation status-0 "$answer" $'\treturn 3;'
judged status-0 1 'red, and status 0'
mutation says-nothing "$answer" $'\treturn 4;'
judged says-nothing 1 'no test is red, status 1'
mutation elsewhere "$answer" $'\treturn 5;'
judged elsewhere 1 'red elsewhere: something else'

# Where a test proves nothing, no mutation is tried.
mutation red-anyway "$answer" $'\treturn 43;' ./broken
judged red-anyway 1 'not tried: ./broken: it is red without a mutation, status 1'
mutation no-such-test "$answer" $'\treturn 43;' ./test '^the question'
judged no-such-test 1 'not tried: ./test: no test of it is called: \^the question'
mutation no-program "$answer" $'\treturn 43;' ./nowhere
judged no-program 1 'not tried: ./nowhere: it is red without a mutation, status 127'

# Both of two tests have to see it.
mutation one-of-two "$answer" $'\treturn 43;'
echo 'red: ./blind: ^the answer' >>"$tree/lists/one-of-two.txt"
judged one-of-two 1 SURVIVED

# Whether each can be applied at all, without a build.
checked() { # NAME STATUS SENTENCE
	round --check
	tap_is "check: $1: its status" $? "$2"
	tap "check: $1: it says so" grep -qxE "$3" "$dir/out"
	tap_is "check: $1: the tree is as it was" "$(sed -n '/return/p' "$tree/value.c")" "$answer"
}
mutation good "$answer" $'\treturn 43;'
rm -rf "$tree/build/mutations"
round --check
tap_is "check: one that applies: its status" $? 0
tap "check: one that applies: nothing is said, and nothing was tried" test ! -s "$dir/out" -a ! -e "$tree/build/mutations"
mutation stale $'\treturn 41;' "$answer"
checked "code that has gone" 1 'tests/mutations/run: stale: cannot be applied: value.c has the old lines 0 times'
mutation stale "$answer" $'\treturn 43;' ./test '^the answer' 'it is silent.'
checked "a promise that has gone" 1 'tests/mutations/run: stale: cannot be applied: value.c no longer says: it is silent.'
mutation stale "$answer" $'\treturn 43;' ./gone
checked "a test that has gone" 1 'tests/mutations/run: stale: cannot be applied: its test has gone: ./gone'
mutation stale "$answer" $'\treturn 43;' build/tests/unit/test_gone
checked "a test's source that has gone" 1 'tests/mutations/run: stale: .*its test has gone: build/tests/unit/test_gone'
mutation stale "$answer" $'\treturn 43;'
printf '@@\n-\treturn 42;\n+\treturn 44;\n' >"$dir/more" && sed -i "/^+/r $dir/more" "$tree/lists/stale.txt"
checked "the second of two changes" 1 'tests/mutations/run: stale: .*value.c has the old lines 0 times'
tap "the tree's own can all be applied" tests/mutations/run --check
tap "to load it as a module tries nothing" python3 -Bc 'import importlib.machinery as m; m.SourceFileLoader("mutations", "tests/mutations/run").load_module()'

# Several mutations in one list, one of them bad; and by name.
mutation seen "$answer" $'\treturn 43;'
{ echo && sed 's/^name: seen/name: blind/; s/^red: .*/red: .\/blind: ^the answer/' "$tree/lists/seen.txt"; } >"$dir/more" && cat "$dir/more" >>"$tree/lists/seen.txt"
judged blind 1 SURVIVED
tap "two: the other is seen" grep -qE '^\| it answers \| seen \|.*\| red \|$' "$dir/out"
tap "two: they are counted" grep -qx '2 mutations, 1 seen, 1 not' "$dir/out"
judged seen 0 red seen
tap "by name: the other is not tried" lacks -q 'blind' "$dir/out"

# Lists that cannot be read, and wrong usage.
refused "a name that is not there" 2 'nothing-of-this: there is no mutation of this name' nothing-of-this
sed -i 's/^name: blind/name: seen/' "$tree/lists/seen.txt"
refused "two of a name" 2 'seen: two have this name'
mutation no-change "$answer" "$answer"
sed -i '/^[-+]/d' "$tree/lists/no-change.txt"
refused "nothing is changed" 2 'nothing is changed in value.c'
mutation no-test "$answer" "$answer"
sed -i '/^red/d' "$tree/lists/no-test.txt"
refused "no test" 2 'it has no red'
mutation misspelt "$answer" "$answer"
echo 'Red: ./test: .' >>"$tree/lists/misspelt.txt"
refused "a misspelt line" 2 'misspelt.txt:8: not a line of a list: Red'
rm -f "$tree"/lists/*
refused "no list" 2 'no mutations'
tap_end
