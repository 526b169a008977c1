#!/usr/bin/env bash
# What the compilers and linters do not look at: the direction of includes, sizes that ask for a split,
# names that must not be in the tree. Prints each finding; exit status 1 where there is one.
set -u
status=0
complain() {
	echo "lint: $*" >&2
	status=1
}

# cli, initrd -> verity, dbgen -> common
while read -r allowed folder; do
	found=$(grep -nE "^#include \"(common|dbgen|verity|initrd|cli)/" "$folder"/*.[ch] |
		grep -vE "#include \"($allowed)/")
	[ -z "$found" ] || complain "an include against the direction cli, initrd -> verity, dbgen -> common:
$found"
done <<-'END'
	common common
	common|dbgen dbgen
	common|dbgen|verity verity
	common|dbgen|verity|initrd initrd
	common|dbgen|verity|initrd|cli cli
END

for file in $(git ls-files '*.c' '*.h'); do
	lines=$(wc -l <"$file")
	[ "$lines" -le 600 ] || complain "$file has $lines lines: split it"
	# A function's body: from a `{` in the first column to its `}`.
	awk -v file="$file" '
		/^\{/ { start = NR }
		/^\}/ && start { if (NR - start - 1 > 60) { print file ":" start ": a function of " NR - start - 1 " lines"; bad = 1 } start = 0 }
		END { exit bad }' "$file" || status=1
done

todo=$(git grep -nE '\b(TODO|FIXME|XXX)\b' -- . ':!tests/lint.sh')
[ -z "$todo" ] || complain "unfinished work is marked in the tree:
$todo"
exit $status
