#!/usr/bin/env bash
# Sizes that ask for a split, and lines that no screen shows whole: a C file of more than 600 lines, a function of more
# than 60, a comment wider than 120 columns (a tab goes to the next multiple of 8; clang-format breaks code, and leaves
# comments alone). Prints each finding; exit status 1 where there is one.
#
#   tests/lint/size.sh [TOP]         (the tree that is looked at: this one)
set -u
cd "${1:-$(dirname "$0")/../..}" || exit 1
status=0

mapfile -t sources < <(find . -mindepth 1 \( -path './build*' -o -name '.*' \) -prune \
	-o -type f -name '*.[chS]' -printf '%P\n' | sort)
[ ${#sources[@]} -gt 0 ] || { echo "lint: $PWD has no source files" >&2 && exit 1; }
awk '
	function complain(text) { print "lint: " text; bad = 1 }
	function end_of_file() { if (lines > 600) complain(file ": " lines " lines: split it") }
	FNR == 1 { end_of_file(); file = FILENAME; start = 0 }
	{ lines = FNR }
	# A function: from a `{` in the first column to its `}`.
	/^\{/ { start = FNR }
	/^\}/ && start {
		if (FNR - start - 1 > 60)
			complain(file ":" start ": a function of " FNR - start - 1 " lines")
		start = 0
	}
	END { end_of_file(); exit bad }' "${sources[@]}" >&2 || status=1

# Comments in whatever has comments.
mapfile -t scripts < <(find . -mindepth 1 \( -path './build*' -o -name '.*' -o -path ./tests/nixos/golden \
	-o -path ./tests/fuzz/seeds -o -path ./tests/rejects -o -path ./tests/samples \) -prune -o -type f \
	\( -name '*.sh' -o -name '*.nix' -o -name '*.py' -o -name Makefile -o -name '*.txt' -o ! -name '*.*' \) \
	-printf '%P\n' | sort)
LC_ALL=C awk '
	function width(text,    i, n) {
		n = 0
		gsub(/[\200-\277]/, "", text) # of a character of several bytes the first one counts
		for (i = 1; i <= length(text); i++)
			n = substr(text, i, 1) == "\t" ? n - n % 8 + 8 : n + 1
		return n
	}
	FNR == 1 { c = FILENAME ~ /\.[chS]$/; inside = 0 }
	{
		if (c) {
			comment = inside || /\/[*\/]/
			rest = $0
			while (match(rest, inside ? "[*]/" : "/[*]")) {
				inside = !inside
				rest = substr(rest, RSTART + 2)
			}
		} else {
			comment = /(^|[ \t])#/
		}
		if (comment && length($0) > 90 && width($0) > 120) {
			print "lint: " FILENAME ":" FNR ": a comment of " width($0) " columns"
			bad = 1
		}
	}
	END { exit bad }' "${sources[@]}" "${scripts[@]}" >&2 || status=1
exit $status
