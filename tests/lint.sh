#!/usr/bin/env bash
# What the compilers and linters do not look at, each check a script of tests/lint: prints each finding; exit status 1
# where there is one. After `make programs`, since two checks read the objects.
#
#   tests/lint.sh [BUILD]
set -u
cd "$(dirname "$0")/.." || exit 1
status=0
for check in layers.sh "circles.py ${1:-build}" "includes.py ${1:-build}" owners.sh size.sh english.py evidence.py; do
	# shellcheck disable=SC2086 # a name and its argument
	tests/lint/$check || status=1
done
tests/mutations/run --check || status=1
todo=$(git grep -nE '\b(TODO|FIXME|XXX)\b' -- . ':!tests/lint.sh')
[ -z "$todo" ] || { echo "lint: unfinished work is marked in the tree:
$todo" >&2 && status=1; }
exit $status
