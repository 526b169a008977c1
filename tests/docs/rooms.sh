#!/usr/bin/env bash
# Prints the picture of the rooms that README.md has, made from layers.txt: a part a column, a floor a row. A room
# stands one floor above the highest one that it may include.
#
#   tests/docs/rooms.sh              prints it
#   tests/docs/rooms.sh --update     writes it into README.md
set -u
cd "$(dirname "$0")/../.." || exit 1

picture() {
	awk '
		/^#/ || !NF { next }
		{
			part = $1
			sub(/\/.*/, "", part)
			if (!(part in seen)) {
				seen[part] = 1
				parts[++n_parts] = part
			}
			if (NF < 4 && n_parts > 1)
				print "layers.txt: " $1 " includes nothing: it has no place in the picture"
			floor[$1] = 0
			for (i = 4; i <= NF; i++)
				if (floor[$i] >= floor[$1])
					floor[$1] = floor[$i] + 1
			room = $1 == part ? $1 : substr($1, length(part) + 2)
			cell[floor[$1], part] = cell[floor[$1], part] (cell[floor[$1], part] == "" ? "" : "  ") room
			if (floor[$1] > top)
				top = floor[$1]
		}
		END {
			for (f = 0; f <= top; f++)
				for (p = 1; p <= n_parts; p++)
					if (length(cell[f, parts[p]]) > width[p])
						width[p] = length(cell[f, parts[p]])
			for (p = 1; p <= n_parts; p++)
				if (length(parts[p]) + 1 > width[p])
					width[p] = length(parts[p]) + 1
			line = "    "
			for (p = 2; p <= n_parts; p++)
				line = line sprintf("%-" (width[p] + 3) "s", parts[p] "/")
			print_line(line)
			for (f = top; f > 0; f--) {
				line = sprintf("%2d  ", f)
				for (p = 2; p <= n_parts; p++)
					line = line sprintf("%-" (width[p] + 3) "s", cell[f, parts[p]])
				print_line(line)
			}
			line = " 0  "
			print_line(line parts[1])
		}
		function print_line(text) {
			sub(/ +$/, "", text)
			print text
		}' layers.txt
}

if [ "${1:-}" = --update ]; then
	picture=$(picture) awk '
		/^```/ && on { on = 0 }
		!on { print }
		/tests\/docs\/rooms.sh/ { here = 1 }
		/^```/ && here { on = 1; here = 0; print ENVIRON["picture"] }' README.md >README.md.new &&
		mv README.md.new README.md
else
	picture
fi
