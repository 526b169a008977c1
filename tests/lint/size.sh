#!/usr/bin/env bash
# Sizes that ask for a split, and lines that no screen shows whole: a C file of more than 600 lines, a function of more
# than 60, one of more than 6 parameters, a comment wider than 120 columns (a tab goes to the next multiple of 8;
# clang-format breaks code, and leaves comments alone). size.allowed lists the functions that have more parameters (FILE
# FUNCTION REASON). Prints each finding; exit status 1 where there is one.
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

# Parameters: of what begins in the first column, is a name with a parenthesis behind it, and has no `=` before that.
# Those that `...` stands for do not count.
awk -v allowed=tests/lint/size.allowed '
	function complain(text) { print "lint: " text; bad = 1 }
	BEGIN {
		while ((getline row <allowed) > 0) {
			if (row ~ /^#/ || row !~ /[^ ]/)
				continue
			split(row, column, " ")
			order[++n_allowed] = column[1] " " column[2]
			if (column[3] == "")
				complain(allowed ": " order[n_allowed] ": its reason is not beside it")
		}
	}
	# The line without strings, characters and comments.
	function bare(text,    out) {
		out = ""
		while (text != "") {
			if (comment) {
				if (!(at = index(text, "*/")))
					return out
				text = substr(text, at + 2)
				comment = 0
			} else if (match(text, /"(\\.|[^"\\])*"|\047(\\.|[^\047\\])*\047|\/[*\/]/)) {
				out = out substr(text, 1, RSTART - 1)
				if (substr(text, RSTART, 2) == "//")
					return out
				comment = substr(text, RSTART, 2) == "/*"
				text = substr(text, RSTART + RLENGTH)
			} else {
				return out text
			}
		}
		return out
	}
	FNR == 1 { comment = 0; head = "" }
	{
		text = bare($0)
		if (head == "") {
			if (comment || text !~ /^[A-Za-z_]/)
				next
			start = FNR
		}
		head = head " " text
		gsub(/__attribute__ *\(\([^()]*(\([^()]*\))*[^()]*\)\)/, "", head)
		if (!match(head, /[(={;]/))
			next
		if (substr(head, RSTART, 1) != "(") {
			head = ""
			next
		}
		name = substr(head, 1, RSTART - 1)
		sub(/^.*[^A-Za-z0-9_]/, "", name)
		depth = 0
		count = 1
		for (i = RSTART; i <= length(head); i++) {
			c = substr(head, i, 1)
			depth += (c == "(") - (c == ")")
			count += c == "," && depth == 1
			if (!depth)
				break
		}
		if (depth) # it goes on in the next line
			next
		if (substr(head, 1, i) ~ /, *\.\.\.\)$/)
			count--
		head = ""
		if (count <= 6)
			next
		key = FILENAME " " name
		seen[key] = 1
		for (i = 1; i <= n_allowed && order[i] != key; i++)
			;
		if (i > n_allowed)
			complain(FILENAME ":" start ": " name " has " count " parameters: give it a struct")
	}
	END {
		for (i = 1; i <= n_allowed; i++)
			if (!(order[i] in seen))
				complain(allowed ": " order[i] " has no more than 6 parameters, or is not there")
		exit bad
	}' "${sources[@]}" >&2 || status=1

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
