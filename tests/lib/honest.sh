# Commands for tests that are not content with nothing: each fails where the usual one would pass without having looked.
# To be sourced by bash; tap.sh does. They are handed on to every bash that the script starts.
#
#   fails STATUS PATTERN COMMAND...   the command ends with just this status, and says what the pattern (egrep's)
#                                     matches: with another one its options are wrong, or it is not there
#   lacks GREP-ARGUMENT...            grep looked, and found nothing: a file that is not there is no proof
#   same FILE FILE                    cmp, diff where they differ; neither is empty
#   is_empty_dir DIR                  it is there, a directory, and empty
#   says_nothing COMMAND...           the command ends with 0, and says nothing
#   lines_of COMMAND...               print how many lines the command says; nothing where it fails
#   same_output COMMAND COMMAND       both, as a shell reads them, end with 0 and say the same, which is not nothing; of
#                                     a pipeline no part fails
#   equal TEXT TEXT, differ TEXT TEXT two texts, neither of which is empty: a command that failed has said nothing
#   take_lines ARRAY COMMAND...       the array gets the command's lines: it ends with 0, and there is one
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

is_empty_dir() {
	local got
	got=$(find "$1/." -mindepth 1 -print) && [ -z "$got" ] && return 0
	echo "is_empty_dir: $1 is no directory, or it holds: $got" >&2
	return 1
}

says_nothing() {
	local said
	said=$("$@") && [ -z "$said" ] && return 0
	echo "says_nothing: $* fails, or says: $said" >&2
	return 1
}

lines_of() {
	local said
	said=$("$@") || return
	[ -z "$said" ] && echo 0 || wc -l <<<"$said"
}

same_output() {
	local one two
	one=$(set -o pipefail && eval "$1" | od -An -tx1 -v) && two=$(set -o pipefail && eval "$2" | od -An -tx1 -v) || {
		echo "same_output: one of them fails: $1, $2" >&2
		return 1
	}
	[ "$one" = "$two" ] && [ -n "$one" ] && return 0
	echo "same_output: nothing, or not the same: $1, $2" >&2
	diff -a <(eval "$1") <(eval "$2") | head -n 40 # to be read, not judged
	return 1
}

equal() {
	[ -n "$1" ] && [ "$1" = "$2" ] && return 0
	echo "equal: nothing, or not the same: $1, $2" >&2
	return 1
}

differ() {
	[ -n "$1" ] && [ -n "$2" ] && [ "$1" != "$2" ] && return 0
	echo "differ: nothing, or the same: $1, $2" >&2
	return 1
}

take_lines() {
	local -n taken=$1
	local said
	shift
	said=$("$@") && [ -n "$said" ] && mapfile -t taken <<<"$said" && return 0
	echo "take_lines: $* fails, or says nothing" >&2
	return 1
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

export -f fails lacks same is_empty_dir says_nothing lines_of same_output equal differ take_lines jq
