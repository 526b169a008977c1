# Test lines for host tests that run one after the other (tests/lib/tap.sh is for boots side by side).
# To be sourced; the script ends with `exit $((failures > 0))`.
# shellcheck source=tests/lib/honest.sh
. "${BASH_SOURCE[0]%/*}/honest.sh"
failures=0

# What the last command of the test said, in $dir/out where the script keeps it, explains a failure.
report() { # STATUS NAME
	if [ "$1" -eq 0 ]; then
		echo "ok - $2"
	else
		echo "not ok - $2"
		sed 's/^/# /' "${dir:?}/out" 2>/dev/null | tail -n 12
		failures=$((failures + 1))
	fi
}
