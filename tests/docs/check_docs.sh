#!/usr/bin/env bash
# Help, manual pages, configuration and code say the same. Prints TAP.
#
#   tests/docs/check_docs.sh        (from the top; build/underlay exists)
set -u
underlay=${UNDERLAY:-build/underlay}
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
check() { tap_is "$1" "$3" "$2"; } # NAME EXPECTED ACTUAL

# The commands' tables, as the command itself tells them: a line for each spelling of an option, with its argument in small
# letters ("-o image", "--fec[=roots]", "--format erofs|squashfs"), and one for each positional argument.
tables=$("$underlay" completion json)
commands() { jq -r '.commands[] | "\(.page) \(.group // "") \(.name)" | gsub("  "; " - ")' <<<"$tables"; }
of_command() { # GROUP NAME FILTER
	jq -r --arg group "${1#-}" --arg name "$2" \
		'.commands[] | select((.group // "") == $group and .name == $name) | .options[] | '"$3" <<<"$tables" |
		tr '[:upper:]' '[:lower:]' | sort
}
options='select(.name) | (if .argument == null then "" elif .bare then "[=\(.argument)]" else " \(.argument)" end) as $value |
	(if .letter then ["-\(.letter)"] else [] end) + ["--\(.name)"] | .[] + $value'
arguments='select(.name | not) | .argument'

# What the page says in the section of a subcommand: its items, each spelling with its argument on a line.
page_options() { # PAGE SECTION
	mandoc -Tascii -Owidth=400 "$1" | col -bx |
		awk -v name="$2" '/^ ? ? ?[^ ]/ { on = ($0 ~ "^ *(" name ")$") } on && /^     -/ { sub(/^ */, ""); sub(/  .*/, ""); print }' |
		sed 's/, -/\n-/g; s/ | /|/g' | tr '[:upper:]' '[:lower:]' | sort -u
}
page_synopsis() { mandoc -Tascii -Owidth=400 "$1" | col -bx | sed -n '/^SYNOPSIS/,/^DESCRIPTION/p' | grep -w -- "$2" | head -n 1; }

while read -r name group command; do
	page=cli/man/$name.1
	[ "$group" = - ] && shown="underlay $command" || shown="underlay $group $command"
	check "$page describes the options of $shown, with their arguments and words" \
		"$(of_command "$group" "$command" "$options")" "$(page_options "$page" "$command")"
	missing=
	for argument in $(of_command "$group" "$command" "$arguments"); do
		page_synopsis "$page" "$command" | sed 's/ | /|/g' | grep -qF -- "$argument" || missing+="$argument "
	done
	check "$page has the arguments of $shown in its synopsis" "" "$missing"
done < <(commands)
for page in cli/man/*.1; do
	check "$page tells exit statuses and examples" "EXIT STATUS EXAMPLES" \
		"$(grep -xE '\.Sh (EXIT STATUS|EXAMPLES)' "$page" | cut -c5- | paste -sd' ')"
done

# Settings, kernel parameters and failure codes.
table_rows() { tr -d '\n\t' <initrd/policy/table.c | grep -oE 'ROW\("[a-z]+", "[a-z-]+"' | cut -d'"' -f2,4 | tr '"' ' ' | sort; }
check "underlay.conf(5) describes every setting" "$(table_rows)" \
	"$(awk '/^\.Ss \[/ { section = substr($2, 2, length($2) - 2) } /^\.It Cm / { print section, $3 }' \
		initrd/man/underlay.conf.5 | sort)"
# Name, rule, setting and reason of each row of ul_params, a line each, as the page has them.
param_rows() {
	tr -d '\n\t' <initrd/policy/table.c | sed 's/.*ul_params\[\] = {//; s/" *"//g' |
		grep -oE '\{"[A-Za-z_.*-]+", UL_PARAM_[A-Z]+,( *("[a-z-]+"|NULL)){1},( *("[a-z-]+"|NULL)){1}, *"[^"]+"\}' |
		sed -E 's/^\{"([^"]+)", UL_PARAM_([A-Z]+), *("([a-z-]+)"|NULL), *("([a-z-]+)"|NULL), *"([^"]+)"\}$/\1 \2 [\4] \6: \7/; s/ \[\] : / /'
}
page_params() {
	awk '
		function flush() { if (name) print name, rule, setting text; name = "" }
		/^\.S[hs] / { flush() }
		/^\.Sh / { on = ($0 == ".Sh KERNEL PARAMETERS") }
		/^\.Ss Always permitted/ { rule = "FREE" }
		/^\.Ss May make the policy stricter/ { rule = "STRENGTHEN" }
		/^\.Ss Permitted where/ { rule = "ALLOWED" }
		/^\.Ss Never permitted/ { rule = "REFUSED" }
		/^\.Ss Of no meaning here/ { rule = "IGNORED" }
		!on { next }
		/^\.El/ { flush() }
		/^\.It Cm / { flush(); name = $3; setting = text = ""; next }
		/^\.Bq / { setting = "[" $2 "] "; next }
		/^\.Cm / && name { setting = setting $2 ": "; next }
		/^\./ { next }
		name { text = text (text ? " " : "") $0 }
	' initrd/man/underlay-init.8 | sed 's/\.$//'
}
check "underlay-init(8) describes every kernel parameter: rule, setting and reason" "$(param_rows | sort)" \
	"$(page_params | sort)"
check "underlay-init(8) describes every failure code" \
	"$(grep -oE '^\s+X\(E_[A-Z_]+, [0-9]+, "[a-z-]+"' common/error.h | sed -E 's/.*, ([0-9]+), "(.*)"/\1 \2/' | sort -n)" \
	"$(awk '/^\.Sh FAILURE CODES/ { on = 1 } /^\.Sh / && !/FAILURE CODES/ { on = 0 }
		on && /^\.It Li / { print $4, $5 }' initrd/man/underlay-init.8 | sort -n)"

for page in cli/man/*.1 initrd/man/*.[58]; do
	check "$page is sound mdoc" "" "$(mandoc -Tlint -Wwarning "$page" 2>&1 | grep -v 'cross reference to self')"
done

# README's picture of the rooms is that of layers.txt, and its story tells of each of them.
check "README.md has the picture that tests/docs/rooms.sh makes" "$(tests/docs/rooms.sh)" \
	"$(awk '/^```/ && on { exit } on; /tests\/docs\/rooms.sh/ { here = 1 } /^```/ && here { on = 1; here = 0 }' README.md)"
check "README.md tells of every room" "" "$(awk '!/^#/ && NF { print $1 "/" }' layers.txt |
	while read -r room; do grep -qF "\`$room\`" README.md || echo "$room"; done)"

# Links of the README and of the other pages point to what is there.
for page in $(git ls-files '*.md'); do
	missing=
	for link in $(grep -oE '\]\([^)#]+' "$page" | cut -c3- | grep -v '^[a-z]*:'); do
		[ -e "$(dirname "$page")/$link" ] || missing+="$link "
	done
	check "links of $page" "" "$missing"
done
tap_end
