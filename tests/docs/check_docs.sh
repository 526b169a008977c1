#!/usr/bin/env bash
# Help, manual pages, configuration and code say the same. Prints TAP.
#
#   tests/docs/check_docs.sh        (from the top; build/underlay exists)
set -u
underlay=${UNDERLAY:-build/underlay}
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
check() { tap_is "$1" "$3" "$2"; } # NAME EXPECTED ACTUAL

# Long options that a text names, sorted.
options() { grep -oE -- '--[a-z][a-z0-9-]+' | sort -u; }

# The part of a manual page that describes one subcommand: from its .Ss or .Sh line to the next one.
page_section() { # PAGE SUBCOMMAND
	awk -v name="$2" '/^\.S[sh] / { on = ($0 == ".Ss " name) } on' "$1"
}

# mdoc writes --option as ".Fl -option".
page_options() { grep -oE 'Fl -[a-z][a-z0-9-]+' | sed 's/Fl /-/' | grep -v '^--help$' | sort -u; }

"$underlay" --help | awk '$1 == "underlay" { print $2, $3 }' >build/commands.txt
while read -r group name; do
	usage=$("$underlay" "$group" --help 2>/dev/null | head -n 1)
	page=cli/man/underlay-$group.1
	case $group in
	timeline) page=cli/man/underlay-status.1 ;;
	completion | mark-clean) page=cli/man/underlay.1 ;;
	esac
	case " $("$underlay" completion bash | grep -oE "\"2 $group \"\*\) words='[^']*'" | cut -d"'" -f2) " in
	*" $name "*)
		usage=$("$underlay" "$group" "$name" --help | head -n 1)
		check "$page describes the options of underlay $group $name" \
			"of $usage: $(options <<<"$usage")" "of ${usage:?}: $(page_section "$page" "$name" | page_options)"
		;;
	*)
		check "$page describes the options of underlay $group" \
			"of $usage: $(options <<<"$usage")" "of ${usage:?}: $(page_section "$page" "$group" | page_options)"
		;;
	esac
done <build/commands.txt
tap "there are commands to describe" test "$(wc -l <build/commands.txt)" -gt 20

# What getopt_long takes is what the usage texts promise.
for file in cli/*.c; do
	taken=$(grep -oE '\{"[a-z][a-z0-9-]+", *(no|required|optional)_argument' "$file" | cut -d'"' -f2 |
		sed 's/^/--/' | grep -vx -e --output -e --jobs | sort -u) # long names of -o, -j
	[ -n "$taken" ] || continue
	tap_none "every option that $file takes stands in a usage text" comm -23 <(echo "$taken") <(cat cli/*.c | options)
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

# mandoc ends with 2 at a warning; one of them we do not share.
sound() {
	mandoc -Tlint -Wwarning "$1" >build/mandoc.txt 2>&1
	[ $? -le 2 ] || return 1
	lacks -v 'cross reference to self' build/mandoc.txt
}
for page in cli/man/*.1 initrd/man/*.[58]; do
	tap_none "$page is sound mdoc" sound "$page"
done

# README's picture of the rooms is that of layers.txt, and its story tells of each of them.
check "README.md has the picture that tests/docs/rooms.sh makes" "$(tests/docs/rooms.sh)" \
	"$(awk '/^```/ && on { exit } on; /tests\/docs\/rooms.sh/ { here = 1 } /^```/ && here { on = 1; here = 0 }' README.md)"
untold() {
	awk '!/^#/ && NF { print $1 "/" }' layers.txt |
		while read -r room; do grep -qF "\`$room\`" README.md || echo "$room"; done
}
tap_none "README.md tells of every room" untold

# Links of the README and of the other pages point to what is there.
for page in $(git ls-files '*.md'); do
	missing=
	for link in $(grep -oE '\]\([^)#]+' "$page" | cut -c3- | grep -v '^[a-z]*:'); do
		[ -e "$(dirname "$page")/$link" ] || missing+="$link "
	done
	tap_none "links of $page" echo -n "$missing"
done
tap_end
