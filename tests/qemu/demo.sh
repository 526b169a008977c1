#!/usr/bin/env bash
# `make demo` is what a newcomer runs first: it ends well, and each thing that it promises to show holds, in both modes.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
tests/demo.sh >"$tap_dir/demo" 2>&1
report $? "the demonstration ends well" "$tap_dir/demo"
held() { # MODE: the verdicts of its chapter
	sed -n "/^$1/,/^\(Rebuilt\|All of it\|Something\)/p" "$tap_dir/demo" | grep -c '^  ✓ '
}
tap_is "attached: each of its verdicts holds" "$(held Attached)" 11
tap_is "rebuilt: each of its verdicts holds" "$(held Rebuilt)" 11
tap_none "no verdict is against it" sed -n '/✗/p' "$tap_dir/demo"
tap_end
