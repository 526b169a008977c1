# Test lines in TAP's form. To be sourced, after what the script asks to be done at its end (trap ... EXIT), or else it
# removes "$tap_dir" there too.
#
#   tap NAME COMMAND...     "ok - NAME" or "not ok - NAME" by the command's status, its output after a failure
#   tap_is NAME GOT WANTED  compares two texts
#   report STATUS NAME      the line for a command that ran before; $dir/out, if there is one, explains a failure
#   tap_end                 ends the script: with status 1 where a line said "not ok"
#
# Cases that run side by side, as many as there are cores: start each with `tap_case COMMAND...`; its lines go
# to a file, and `tap_cases` waits for the rest and prints the files in the order of their start.

tap_dir=$(mktemp -d)
tap_started=0
# What was asked before stays asked.
tap_before=$(trap -p EXIT)
[ -z "$tap_before" ] || { eval "set_trap=($tap_before)" && tap_before="${set_trap[2]};"; }
trap "$tap_before"' rm -rf "$tap_dir"' EXIT

# report STATUS NAME [FILE]: the one place that prints a line. The file's end explains a failure.
report() {
	if [ "$1" -eq 0 ]; then
		echo "ok - $2"
		return
	fi
	echo "not ok - $2"
	tail -n 40 "${3:-${dir:-$tap_dir}/out}" 2>/dev/null | sed 's/^/# /'
	# A file, since cases run in processes of their own.
	touch "$tap_dir/failed"
}

tap() {
	# The name first: a redirection is made in the command's own process, which has another BASHPID.
	local name=$1 out=$tap_dir/out.$BASHPID
	shift
	"$@" >"$out" 2>&1
	report $? "$name" "$out"
}

tap_is() {
	local name=$1 out=$tap_dir/out.$BASHPID
	diff <(printf '%s\n' "$3") <(printf '%s\n' "$2") | sed -n 's/^</wanted:/p; s/^>/got:   /p' >"$out"
	[ "$2" = "$3" ]
	report $? "$name" "$out"
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
	exit 0
}
