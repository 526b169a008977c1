#!/usr/bin/env bash
# Holds every include against layers.txt: a source file stands in a folder that the list names, and includes by the path
# from the top what is there and what its folder may include. Prints each finding; exit status 1 where there is one.
#
#   tests/lint/layers.sh [TOP]       (the tree that is looked at: this one)
set -u
cd "${1:-$(dirname "$0")/../..}" || exit 1
mapfile -t files < <(find . -mindepth 1 \( -path ./tests -o -path './build*' -o -name '.*' \) -prune \
	-o -type f -name '*.[chS]' -printf '%P\n' | sort)
[ ${#files[@]} -gt 0 ] || { echo "lint: $PWD has no source files" >&2 && exit 1; }
printf '%s\n' "${files[@]}" | awk '
	function complain(text) { print "lint: " text; bad = 1 }
	function folder_of(path) { return path ~ /\// ? substr(path, 1, match(path, /\/[^\/]*$/) - 1) : "." }

	# The list: from the ground up, so a folder may include what stands above it in the list, and nothing goes in a
	# circle.
	FILENAME == "layers.txt" && (/^#/ || !NF) { next }
	FILENAME == "layers.txt" {
		if ($3 != ":")
			complain("layers.txt:" FNR ": not of the form FOLDER LIBRARY : FOLDER...")
		if ($1 in listed)
			complain("layers.txt:" FNR ": " $1 " is listed twice")
		may[$1, $1] = listed[$1] = 1
		for (i = 4; i <= NF; i++) {
			if (!($i in listed) || $i == $1)
				complain("layers.txt:" FNR ": " $1 " may include " $i ", which is not listed above it")
			may[$1, $i] = 1
		}
		next
	}

	# The files, from standard input: all of them before the first is read.
	FILENAME == "-" {
		exists[$0] = 1
		inhabited[folder_of($0)] = 1
		if (!(folder_of($0) in listed))
			complain($0 ": layers.txt does not list the folder " folder_of($0))
		next
	}

	/^[ \t]*#[ \t]*(include|import|include_next)/ {
		at = FILENAME ":" FNR ": "
		text = $0
		if (!match(text, /"[^"]*"|<[^>]*>/)) {
			complain(at "an include that does not name its file")
			next
		}
		kind = substr(text, RSTART, 1)
		name = substr(text, RSTART + 1, RLENGTH - 2)
		own = (name in exists)
		if (kind == "<") {
			if (own)
				complain(at "<" name "> is of this tree: include it as \"" name "\"")
			next
		}
		from = folder_of(FILENAME)
		if (!own)
			complain(at "\"" name "\" is not there; includes name the path from the top")
		else if (name !~ /\.h$/)
			complain(at "\"" name "\" is not a header")
		else if (!((from, folder_of(name)) in may))
			complain(at from " may not include " folder_of(name) " (\"" name "\")")
	}

	END {
		for (folder in listed)
			if (!(folder in inhabited))
				complain("layers.txt: " folder " has no source files")
		exit bad
	}' layers.txt - "${files[@]}" >&2
