# Test lines in TAP's form. To be sourced. What is to be done at the script's end, however that comes, is asked for by
# `trap ... EXIT` before, and by tap_at_exit after it.
#
#   tap NAME COMMAND...     "ok - NAME" or "not ok - NAME" by the command's status, its output after a failure
#   tap_is NAME GOT WANTED  compares two texts; two empty ones are no proof
#   tap_none NAME COMMAND...   the command ends with 0 and says nothing
#   COMMAND | tap_lines     hands on test lines that something else printed, a guest say: they count
#   report STATUS NAME      the line for a command that ran before; $dir/out, if there is one, explains a failure
#   tap_end                 ends the script: says how many lines there were (the plan, 1..N); with status 1 where one of
#                           them said "not ok", or there was none
#   tap_at_exit COMMANDS    when the script has ended, what was asked for last comes first
#
# A script that ends in another way (exit, set -e, an unset variable, a return out of its main function) has not come to
# its end: it says so, its status is not 0, and it prints no plan, which tests/run demands. One that never said a test
# line is no script of tests, and its status its own.
#
# Cases that run side by side, as many as there are cores: start each with `tap_case COMMAND...`; its lines go
# to a file, and `tap_cases` waits for the rest and prints the files in the order of their start. A case that says no
# test line, or does not come to its end, is a failure.
#
# `tap_row COMMAND...` is a case of a matrix, of which `make test` has the other rows: it runs where MATRIX is "all", as
# in `make check-qemu`. tap_matrix: whether it is, for what such rows need.

# shellcheck source=tests/lib/honest.sh
. "${BASH_SOURCE[0]%/*}/honest.sh"
tap_dir=$(mktemp -d)
tap_started=0 tap_printed=0 tap_ended= tap_at_exit=()
# What was asked before stays asked.
tap_before=$(trap -p EXIT)
[ -z "$tap_before" ] || { eval "tap_before=($tap_before)" && tap_at_exit=("${tap_before[2]}"); }

tap_at_exit() {
	tap_at_exit+=("$1")
}

tap_finish() {
	local status=$? i
	set +e
	[ -n "$tap_ended" ] || [ "$status" -ne 0 ] || [ ! -s "$tap_dir/count" ] || {
		echo "not ok - this script comes to its end, tap_end" && status=1
	}
	for ((i = ${#tap_at_exit[@]} - 1; i >= 0; i--)); do
		eval "${tap_at_exit[i]}"
	done
	rm -rf "$tap_dir"
	exit "$status"
}
trap tap_finish EXIT

# report STATUS NAME [FILE]: the one place that prints a line. The file's end explains a failure.
report() {
	# Counted in a file, since cases run in processes of their own.
	printf . >>"$tap_dir/count"
	if [ "$1" -eq 0 ]; then
		echo "ok - $2"
		return
	fi
	echo "not ok - $2"
	tail -n 40 "${3:-${dir:-$tap_dir}/out}" 2>/dev/null | sed 's/^/# /; $a\' # the next line begins anew
	touch "$tap_dir/failed"
}

tap_lines() {
	local line
	while IFS= read -r line; do
		case $line in
		"ok "*) printf . >>"$tap_dir/count" ;;
		"not ok "*) printf . >>"$tap_dir/count" && touch "$tap_dir/failed" ;;
		esac
		printf '%s\n' "$line"
	done
}

tap() {
	# The name first: a redirection is made in the command's own process, which has another BASHPID.
	local name=$1 out=$tap_dir/out.$BASHPID
	shift
	if [ $# -eq 0 ]; then
		echo "no command" >"$out"
		report 1 "$name" "$out"
		return
	fi
	"$@" >"$out" 2>&1
	report $? "$name" "$out"
}

tap_none() {
	local name=$1 out=$tap_dir/out.$BASHPID
	shift
	"$@" >"$out" 2>&1 && [ ! -s "$out" ]
	report $? "$name" "$out"
}

tap_is() {
	local name=$1 out=$tap_dir/out.$BASHPID
	diff <(printf '%s\n' "$3") <(printf '%s\n' "$2") | sed -n 's/^</wanted:/p; s/^>/got:   /p' >"$out"
	[ -n "$2$3" ] || echo "both are empty, as they are where nobody looked: tap_none is for that" >"$out"
	[ "$2" = "$3" ] && [ -n "$2" ]
	report $? "$name" "$out"
}

tap_case() {
	local file
	file=$(printf '%s/case.%03d' "$tap_dir" "$tap_started")
	while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do
		wait -n
	done
	# What ends the shell (an unset variable, exit) leaves no such file.
	{ "$@"; touch "$tap_dir/ended.${file##*/}"; } >"$file" 2>&1 &
	tap_started=$((tap_started + 1))
}

tap_matrix() {
	[ "${MATRIX:-}" = all ]
}

tap_row() {
	if tap_matrix; then tap_case "$@"; fi
}

tap_cases() {
	local file
	wait
	for ((; tap_started > tap_printed; tap_printed++)); do
		file=$(printf '%s/case.%03d' "$tap_dir" "$tap_printed")
		cat "$file"
		grep -aqE '^(not )?ok ' "$file" && [ -e "$tap_dir/ended.${file##*/}" ] ||
			report 1 "case $((tap_printed + 1)) of this script comes to its end, with at least one test" /dev/null
		rm -f "$file" "$tap_dir/ended.${file##*/}"
	done
}

tap_end() {
	local count
	[ "$tap_started" -eq "$tap_printed" ] || report 1 "tap_cases comes after the last tap_case" /dev/null
	count=$(stat -c %s "$tap_dir/count") || count=0
	tap_ended=yes
	echo "1..$count"
	[ "$count" -gt 0 ] && [ ! -e "$tap_dir/failed" ] || exit 1
	exit 0
}
