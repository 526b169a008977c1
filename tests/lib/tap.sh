# Test lines in TAP's form. To be sourced.
#
#   tap NAME COMMAND...     "ok - NAME" or "not ok - NAME" by the command's status, its output after a failure
#   tap_is NAME GOT WANTED  compares two texts
#   tap_end                 ends the script: with status 1 where a line said "not ok"
#
# Cases that run side by side, as many as there are cores: start each with `tap_case COMMAND...`; its lines go
# to a file, and `tap_cases` waits for the rest and prints the files in the order of their start.

tap_failed=0
tap_dir=$(mktemp -d)
tap_started=0
trap 'rm -rf "$tap_dir"' EXIT

tap() {
	# The name first: a redirection is made in the command's own process, which has another BASHPID.
	local name=$1 out=$tap_dir/out.$BASHPID
	shift
	if "$@" >"$out" 2>&1; then
		echo "ok - $name"
	else
		echo "not ok - $name"
		tail -n 40 "$out" | sed 's/^/# /'
		tap_failed=1
		touch "$tap_dir/failed"
	fi
}

tap_is() {
	local name=$1 got=$2 wanted=$3
	if [ "$got" = "$wanted" ]; then
		echo "ok - $name"
		return
	fi
	echo "not ok - $name"
	printf '%s\n' "$got" | sed 's/^/# got:    /'
	printf '%s\n' "$wanted" | sed 's/^/# wanted: /'
	tap_failed=1
	touch "$tap_dir/failed"
}

tap_case() {
	while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do
		wait -n
	done
	"$@" >"$(printf '%s/case.%03d' "$tap_dir" "$tap_started")" 2>&1 &
	tap_started=$((tap_started + 1))
}

tap_cases() {
	local file
	wait
	for file in "$tap_dir"/case.*; do
		cat "$file"
		rm "$file"
	done
	tap_started=0
}

tap_end() {
	[ ! -e "$tap_dir/failed" ] || exit 1
	exit $tap_failed
}
