# Test lines in TAP's form. To be sourced.
#
#   tap NAME COMMAND...     "ok - NAME" or "not ok - NAME" by the command's status, its output after a failure
#   tap_is NAME GOT WANTED  compares two texts; two empty ones are no proof
#   tap_none NAME COMMAND...   the command ends with 0 and says nothing
#   tap_end                 ends the script: with status 1 where a line said "not ok"
#
# Cases that run side by side, as many as there are cores: start each with `tap_case COMMAND...`; its lines go
# to a file, and `tap_cases` waits for the rest and prints the files in the order of their start. A case that says no
# test line, or does not come to its end, is a failure.

# shellcheck source=tests/lib/honest.sh
. "${BASH_SOURCE[0]%/*}/honest.sh"
tap_failed=0
tap_dir=$(mktemp -d)
tap_started=0 tap_printed=0
trap 'rm -rf "$tap_dir"' EXIT

tap() {
	# The name first: a redirection is made in the command's own process, which has another BASHPID.
	local name=$1 out=$tap_dir/out.$BASHPID
	shift
	if [ $# -gt 0 ] && "$@" >"$out" 2>&1; then
		echo "ok - $name"
	else
		echo "not ok - $name"
		tail -n 40 "$out" 2>/dev/null | sed 's/^/# /'
		tap_failed=1
		touch "$tap_dir/failed"
	fi
}

tap_is() {
	local name=$1 got=$2 wanted=$3
	if [ "$got" = "$wanted" ] && [ -n "$got" ]; then
		echo "ok - $name"
		return
	fi
	echo "not ok - $name"
	[ -n "$got$wanted" ] || echo "# both are empty, as they are where nobody looked: tap_none is for that"
	printf '%s\n' "$got" | sed 's/^/# got:    /'
	printf '%s\n' "$wanted" | sed 's/^/# wanted: /'
	tap_failed=1
	touch "$tap_dir/failed"
}

tap_none() {
	local name=$1 said status
	shift
	said=$("$@" 2>&1)
	status=$?
	if [ "$status" -eq 0 ] && [ -z "$said" ]; then
		echo "ok - $name"
		return
	fi
	echo "not ok - $name (status $status)"
	printf '%s\n' "$said" | tail -n 40 | sed 's/^/# /'
	tap_failed=1
	touch "$tap_dir/failed"
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

tap_cases() {
	local file
	wait
	for ((; tap_started > tap_printed; tap_printed++)); do
		file=$(printf '%s/case.%03d' "$tap_dir" "$tap_printed")
		cat "$file"
		grep -aqE '^(not )?ok ' "$file" && [ -e "$tap_dir/ended.${file##*/}" ] || {
			echo "not ok - case $((tap_printed + 1)) of this script comes to its end, with at least one test"
			touch "$tap_dir/failed"
		}
		rm -f "$file" "$tap_dir/ended.${file##*/}"
	done
}

tap_end() {
	[ "$tap_started" -eq "$tap_printed" ] || { echo "not ok - tap_cases comes after the last tap_case" && exit 1; }
	[ ! -e "$tap_dir/failed" ] || exit 1
	exit $tap_failed
}
