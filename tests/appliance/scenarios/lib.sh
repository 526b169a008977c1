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

# The store paths that the lower has, whatever Nix thinks of them.
lower_paths() {
	ls /nix/.ro/nix/store | sed 's|^|/nix/store/|'
}
