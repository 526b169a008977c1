#!/usr/bin/env bash
# Help, manual pages, configuration and code say the same. Prints TAP.
#
#   tests/docs/check_docs.sh        (from the top; build/underlay and build/tests/tools/policy_rows exist)
set -u
underlay=${UNDERLAY:-build/underlay}
rows=${POLICY_ROWS:-build/tests/tools/policy_rows}
failed=0
check() { # NAME EXPECTED ACTUAL
	if [ "$2" = "$3" ]; then
		echo "ok - $1"
	else
		failed=1
		diff <(printf '%s\n' "$2") <(printf '%s\n' "$3") | sed 's/^/# /'
		echo "not ok - $1"
	fi
}

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
			"$(options <<<"$usage")" "$(page_section "$page" "$name" | page_options)"
		;;
	*)
		check "$page describes the options of underlay $group" \
			"$(options <<<"$usage")" "$(page_section "$page" "$group" | page_options)"
		;;
	esac
done <build/commands.txt

# What getopt_long takes is what the usage texts promise.
for file in cli/*.c; do
	taken=$(grep -oE '\{"[a-z][a-z0-9-]+", *(no|required|optional)_argument' "$file" | cut -d'"' -f2 |
		sed 's/^/--/' | grep -vx -e --output -e --jobs | sort -u) # long names of -o, -j
	[ -n "$taken" ] || continue
	missing=$(comm -23 <(echo "$taken") <(cat cli/*.c | options))
	check "every option that $file takes stands in a usage text" "" "$missing"
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

# Whoever reads a field says policy.FIELD, or p->FIELD where p is the policy. Two are for the policy's own code.
unread() {
	local field readers by_p
	readers=$(git ls-files 'initrd/*.c' | grep -v '^initrd/policy/')
	# shellcheck disable=SC2086
	by_p=$(grep -lE 'struct ul_policy \*p\b' $readers)
	while IFS=$'\t' read -r _ _ field _; do
		# shellcheck disable=SC2086
		case $field in
		root_hash | allow) grep -qE "\bp->$field\b" initrd/policy/policy.c ;;
		*) grep -qE "\bpolicy(\.|->)$field\b" $readers || grep -qE "\bp->$field\b" $by_p ;;
		esac || echo "$field"
	done < <("$rows" settings)
}
check "somebody reads every setting" "" "$(unread)"

# The fuzzers know every word: of sections and parameters no other; values may be more.
check "tests/fuzz/fuzz_config.dict has every word of the settings" "" \
	"$(comm -23 <("$rows" words | sort -u) <(sort -u tests/fuzz/fuzz_config.dict))"
check "tests/fuzz/fuzz_config.dict has no other sections and keys" "" \
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

for page in cli/man/*.1 initrd/man/*.[58]; do
	check "$page is sound mdoc" "" "$(mandoc -Tlint -Wwarning "$page" 2>&1 | grep -v 'cross reference to self')"
done

# Links of the README and of the other pages point to what is there.
for page in $(git ls-files '*.md'); do
	missing=
	for link in $(grep -oE '\]\([^)#]+' "$page" | cut -c3- | grep -v '^[a-z]*:'); do
		[ -e "$(dirname "$page")/$link" ] || missing+="$link "
	done
	check "links of $page" "" "$missing"
done
exit $failed
