# For every scenario. It stands alone: the guest has busybox's sh, and nothing of tests/lib. Results go to file
# descriptor 3, lines that the host reads:
#   ok - NAME / not ok - NAME / say KEY VALUE / end SCENARIO STATUS, and blocks between begin KEY and end KEY.

say() {
	echo "say $*" >&3
}

# check NAME COMMAND...: the command's output is shown where it fails.
check() {
	name=$1
	shift
	if "$@" >/tmp/check.log 2>&1; then
		echo "ok - $name" >&3
	else
		echo "not ok - $name (status $?)" >&3
		tail -n 20 /tmp/check.log | sed 's/^/# /' >&3
	fi
}

# As in tests/lib/honest.sh: just this status, and these words; a file that is there, and has it not.
fails() {
	fails_status=$1 fails_pattern=$2 fails_got=0
	shift 2
	fails_said=$("$@" 2>&1) || fails_got=$?
	echo "$fails_said"
	[ "$fails_got" = "$fails_status" ] && echo "$fails_said" | grep -Eq -- "$fails_pattern"
}
lacks() {
	lacks_got=0
	grep "$@" || lacks_got=$?
	[ $lacks_got = 1 ]
}

# timed KEY COMMAND...: say how many hundredths of a second it took; the status is the command's.
timed() {
	key=$1
	shift
	read -r before _ </proc/uptime
	"$@"
	timed_status=$?
	read -r after _ </proc/uptime
	say "$key" "$(echo "$before $after" | awk '{printf "%.2f", $2 - $1}')"
	return $timed_status
}

# The store paths that the lower has, whatever Nix thinks of them. At least one:
# a check over an empty list always passes.
lower_paths() {
	ls /nix/.ro/nix/store | grep . | sed 's|^|/nix/store/|' | grep . || echo /nix/store/there-is-no-sealed-path
}
