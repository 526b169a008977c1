#!/usr/bin/env bash
# Help, manual pages, configuration and code say the same. Prints TAP.
#
#   tests/docs/check_docs.sh        (from the top; build/underlay and build/tests/tools/policy_rows exist)
set -u
underlay=${UNDERLAY:-build/underlay}
rows=${POLICY_ROWS:-build/tests/tools/policy_rows}
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
check() { tap_is "$1" "$3" "$2"; } # NAME EXPECTED ACTUAL
none() { tap_none "$1" printf %s "$2"; } # NAME ACTUAL: of what the tables below are not empty for

# The commands' tables, as the command itself tells them: a line for each spelling of an option, with its argument in
# small letters ("-o image", "--fec[=roots]", "--format erofs|squashfs"), and one for each positional argument.
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
		"$shown: $(of_command "$group" "$command" "$options")" "$shown: $(page_options "$page" "$command")"
	missing=
	for argument in $(of_command "$group" "$command" "$arguments"); do # it may have none
		page_synopsis "$page" "$command" | sed 's/ | /|/g' | grep -qF -- "$argument" || missing+="$argument "
	done
	none "$page has the arguments of $shown in its synopsis" "$missing"
done < <(commands) # they are counted:
tap "there are commands to describe" test "$(commands | wc -l)" -gt 20
for page in cli/man/*.1; do
	check "$page tells exit statuses and examples" "EXIT STATUS EXAMPLES" \
		"$(grep -xE '\.Sh (EXIT STATUS|EXAMPLES)' "$page" | cut -c5- | paste -sd' ')"
done

# Settings, kernel parameters and failure codes. What the rows say comes from policy_rows, a line each.
page=initrd/man/underlay.conf.5
check "underlay.conf(5) has kind, choices, default, range and needs of every setting" "$("$rows" heads)" \
	"$(awk '/^\.Ss \[/ { section = $2 } /^\.Sh EXAMPLES/ { exit }
		section && /^\.It Cm / { print section } section && /^\.(It Cm|Em (Default|Range|Needs|Or) :) /' $page)"
# The plain text after each .It line, as far as the reason is long.
page_reasons() {
	awk -F'\t' '
		function flush() { if (key) print section, key ": " substr(text, 1, length(why[section, key]) + 1); key = "" }
		NR == FNR { why[$1, $2] = $4; next }
		/^\.Ss \[/ { flush(); section = substr($0, 6, length($0) - 6) }
		/^\.Sh EXAMPLES/ { flush(); exit }
		section && /^\.It Cm / { flush(); split($0, words, " "); key = words[3]; text = ""; ended = 0; next }
		/^\./ { ended = 1 }
		key && !ended { text = text (text ? " " : "") $0 }
		END { flush() }
	' <("$rows" settings) $page
}
check "underlay.conf(5) gives the reason of every setting" \
	"$("$rows" settings | awk -F'\t' '{ print $1, $2 ": " toupper(substr($4, 1, 1)) substr($4, 2) "." }')" "$(page_reasons)"

# A field without a row would be what it is at zero for ever.
check "every setting in struct ul_policy has a row, and the other way round" \
	"$(awk '/^struct ul_policy \{/ { on = 1; next } /What ul_policy_apply and/ { exit } on { sub(/;.*/, ""); print $NF }' \
		initrd/policy/policy.h | tr -d '*' | grep -v '^$' | sort)" "$("$rows" settings | cut -f3 | sort)"

# Whoever reads a field says policy.FIELD, or p->FIELD where p is the policy. Three are for the policy's own code:
# ul_policy_apply says what they mean.
unread() {
	local field readers by_p
	# requirements.c takes what is for the judge of images, demands.c its own; nothing else of the policy's folder
	# reads for the boot.
	readers=$(git ls-files 'initrd/*.c' | grep -v '^initrd/policy/')
	readers+=" initrd/policy/demands.c initrd/policy/requirements.c"
	# shellcheck disable=SC2086
	by_p=$(grep -lE 'struct ul_policy \*p\b' $readers)
	while IFS=$'\t' read -r _ _ field _; do
		# shellcheck disable=SC2086
		case $field in
		root_hash | allow | rollback_min) grep -qE "\bp->$field\b" initrd/policy/policy.c ;;
		*) grep -qE "\bpolicy(\.|->)$field\b" $readers || grep -qE "\bp->$field\b" $by_p ;;
		esac || echo "$field"
	done < <("$rows" settings) # they are counted below
}
tap "there are settings and words to describe" test "$("$rows" settings | wc -l)" -gt 20 -a "$("$rows" words | wc -l)" -gt 20
none "somebody reads every setting" "$(unread)"

# The fuzzers know every word: of sections and parameters no other; values may be more.
none "tests/fuzz/fuzz_config.dict has every word of the settings" \
	"$(comm -23 <("$rows" words | sort -u) <(sort -u tests/fuzz/fuzz_config.dict))"
none "tests/fuzz/fuzz_config.dict has no other sections and keys" \
	"$(grep -E '\\x0a"$| = "$' tests/fuzz/fuzz_config.dict | grep -vxF '"\x0a"' | sort | comm -23 - <("$rows" words | sort -u))"
check "tests/fuzz/fuzz_cmdline.dict has every parameter and no other" "$("$rows" names | sort)" \
	"$(grep '="$' tests/fuzz/fuzz_cmdline.dict | sort)"

# Name, rule, setting and reason of each parameter, as the page has them.
param_rows() {
	"$rows" parameters | awk -F'\t' '{ print $1, $2, ($3 ? "[" $3 "] " $4 ": " : "") $5 }'
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

# mandoc ends with 2 at a warning; one of them we do not share.
sound() {
	mandoc -Tlint -Wwarning "$1" >build/mandoc.txt 2>&1
	[ $? -le 2 ] || return 1
	lacks -v 'cross reference to self' build/mandoc.txt
}
for page in cli/man/*.1 initrd/man/*.[58]; do
	tap_none "$page is sound mdoc" sound "$page"
	# What man(1) shows is groff's: a bare .Nm repeats one argument there, not the whole line as mandoc's does.
	none "$page names a command of two words in one argument of .Nm" "$(grep -nE '^\.Nm [a-z-]+ [a-z]' "$page")"
done

# README's picture of the rooms is that of layers.txt, and its story tells of each of them.
check "README.md has the picture that tests/docs/rooms.sh makes" "$(tests/docs/rooms.sh)" \
	"$(awk '/^```/ && on { exit } on; /tests\/docs\/rooms.sh/ { here = 1 } /^```/ && here { on = 1; here = 0 }' README.md)"
none "README.md tells of every room" "$(awk '!/^#/ && NF { print $1 "/" }' layers.txt |
	while read -r room; do grep -qF "\`$room\`" README.md || echo "$room"; done)"

# Links of the README and of the other pages point to what is there.
take_lines pages git ls-files '*.md' || exit 1
for page in "${pages[@]}"; do
	missing=
	for link in $(grep -oE '\]\([^)#]+' "$page" | cut -c3- | grep -v '^[a-z]*:'); do # it may have none
		[ -e "$(dirname "$page")/$link" ] || missing+="$link "
	done
	none "links of $page" "$missing"
done
tap_end
