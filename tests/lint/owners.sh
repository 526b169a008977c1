#!/usr/bin/env bash
# Holds the sources against owners.txt: what has an owner is done by nobody else. owners.allowed lists what stays
# (ROW FILE LINES REASON): fewer are demanded as soon as there are fewer, more are refused. Prints each
# finding; exit status 1 where there is one.
#
#   tests/lint/owners.sh [TOP]       (the tree that is looked at: this one)
#   tests/lint/owners.sh --shrink    takes off owners.allowed what is not there any more
set -u -o pipefail
shrink=
[ "${1:-}" != --shrink ] || { shrink=1 && shift; }
cd "${1:-$(dirname "$0")/../..}" || exit 1
rules=tests/lint/owners.txt allowed=tests/lint/owners.allowed
mapfile -t files < <(awk '!/^#/ && NF { print $1 }' layers.txt | while read -r folder; do
	find "$folder" -maxdepth 1 -name '*.[ch]'
done | sort)
[ ${#files[@]} -gt 0 ] || { echo "lint: $PWD has no source files" >&2 && exit 1; }

# ROW FILE LINE TEXT of whatever has another owner.
found=$(awk -v rules="$rules" '
	BEGIN {
		while ((getline row <rules) > 0) {
			if (row ~ /^#/ || row !~ /[^ ]/)
				continue
			if (split(row, column, /  +/) != 4) {
				print "lint: " rules ": not four columns: " row >"/dev/stderr"
				exit 2
			}
			name[++n] = column[1]
			pattern[n] = column[2]
			owners[n] = "," column[3] ","
			for (i = split(column[3], list, ","); i > 0 && column[3] != "-"; i--)
				if (list[i] ~ /[^\/]$/ && (getline line <list[i]) < 0)
					print "lint: " rules ": " column[1] " is owned by " list[i] ", which is not there" >"/dev/stderr"
		}
		if (!n)
			exit 2
	}
	function owned(i, file, folder) {
		folder = file
		sub(/[^\/]*$/, "", folder)
		# A folder owns for those in it and below it.
		while (folder != "") {
			if (index(owners[i], "," folder ","))
				return 1
			sub(/[^\/]*\/$/, "", folder)
		}
		return index(owners[i], "," file ",") > 0
	}
	FNR == 1 { comment = 0 }
	{
		# Without comments. What looks like one in a string is taken for one; there are few, and no row is about
		# them.
		text = ""
		rest = $0
		while (rest != "") {
			if (comment) {
				if (!(at = index(rest, "*/")))
					break
				rest = substr(rest, at + 2)
				comment = 0
			} else if (match(rest, /\/[*\/]/)) {
				text = text substr(rest, 1, RSTART - 1)
				if (substr(rest, RSTART, 2) == "//")
					break
				rest = substr(rest, RSTART + 2)
				comment = 1
			} else {
				text = text rest
				break
			}
		}
		for (i = 1; i <= n; i++)
			if (text ~ pattern[i] && !owned(i, FILENAME))
				print name[i], FILENAME, FNR, text
	}' "${files[@]}" | sort -s -k 1,2) || exit 1

# What stands in FILE and is listed by nobody; what is listed and does not stand there any more.
compare() {
	awk -v rules="$rules" -v allowed="$allowed" -v shrink="$shrink" '
		BEGIN {
			while ((getline row <rules) > 0)
				if (row !~ /^#/ && split(row, column, /  +/) == 4)
					instead[column[1]] = column[4]
			while ((getline row <allowed) > 0) {
				if (row ~ /^#/ || row !~ /[^ ]/) {
					heading = heading row "\n"
					continue
				}
				split(row, column, " ")
				order[++n] = column[1] " " column[2]
				most[order[n]] = column[3]
				reason[order[n]] = row
				sub(/^[^ ]+ +[^ ]+ +[^ ]+/, "", reason[order[n]])
				if (!shrink && reason[order[n]] !~ /[^ ]/) {
					print "lint: " allowed ": " order[n] ": its reason is not beside it"
					bad = 1
				}
			}
		}
		NF {
			key = $1 " " $2
			if (!count[key]++)
				keys[++n_keys] = key
			text = $0
			sub(/^[^ ]+ [^ ]+ [^ ]+ [ \t]*/, "", text)
			lines[key] = lines[key] "\n    " $2 ":" $3 ": " text
		}
		END {
			if (shrink) {
				printf "%s", heading >allowed
				for (i = 1; i <= n; i++)
					if (count[order[i]])
						print order[i] " " (count[order[i]] < most[order[i]] ? count[order[i]] : most[order[i]]) reason[order[i]] >allowed
				exit
			}
			for (i = 1; i <= n_keys; i++) {
				key = keys[i]
				if (count[key] > most[key] + 0) {
					split(key, column, " ")
					print "lint: " column[2] ": " column[1] " (" count[key] " lines, " most[key] + 0 " allowed): use " instead[column[1]] lines[key]
					bad = 1
				}
			}
			for (i = 1; i <= n; i++) {
				key = order[i]
				if (count[key] < most[key]) {
					print "lint: " allowed ": " key " " most[key] ": " count[key] + 0 " are left; tests/lint/owners.sh --shrink says so in the list"
					bad = 1
				}
			}
			exit bad
		}'
}
compare <<<"$found" >&2
