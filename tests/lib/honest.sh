# Commands for tests that are not content with nothing: each fails where the usual one would pass without having looked.
# To be sourced by bash; tap.sh does. They are handed on to every bash that the script starts.
#
#   fails STATUS PATTERN COMMAND...   the command ends with just this status, and says what the pattern (egrep's)
#                                     matches: with another one its options are wrong, or it is not there
#   lacks GREP-ARGUMENT...            grep looked, and found nothing: a file that is not there is no proof
#   same FILE FILE                    cmp, diff where they differ; neither is empty
#   jq ...                            with -e an input without any value is a failure, which is status 0 to jq 1.6
#
# None of it is a `!` in front of a command: under `set -e` that never ends a script, whatever the command does.

fails() {
	local status=$1 pattern=$2 said got=0
	shift 2
	said=$("$@" 2>&1) || got=$?
	[ "$got" -eq "$status" ] && grep -qE -- "$pattern" <<<"$said" && return 0
	printf '%s\n' "$said" "fails: status $got; wanted is $status, and: $pattern" >&2
	return 1
}

lacks() {
	local got=0
	grep "$@" || got=$?
	[ "$got" -ne 1 ] || return 0
	echo "lacks: grep $* ends with status $got" >&2
	return 1
}

same() {
	if [ ! -s "$1" ] || [ ! -s "$2" ]; then
		echo "same: $1 or $2 is empty, or not there" >&2
		return 1
	fi
	cmp -s "$1" "$2" || { diff -a "$1" "$2" | head -n 40 && return 1; }
}

jq() {
	local argument said got=0 judges=
	for argument; do
		case $argument in
		--exit-status) judges=yes ;;
		--*) ;;
		-*e*) judges=yes ;;
		esac
	done
	if [ -z "$judges" ]; then
		command jq "$@"
		return
	fi
	said=$(command jq "$@") || got=$?
	[ -z "$said" ] || printf '%s\n' "$said"
	[ "$got" -ne 0 ] || [ -n "$said" ] || { echo "jq: there is no value" >&2 && got=4; }
	return "$got"
}

export -f fails lacks same jq
