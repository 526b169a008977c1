#!/bin/bash
# What the scenarios of a booted system under systemd begin with (tests/debian/build.sh puts it before each). The
# answers go to the second serial port, in the form of tests/appliance/scenarios/lib.sh, which is for a guest that has
# busybox's sh.
exec 3>/dev/ttyS1
say() { echo "say $*" >&3; }
check() {
	local name=$1
	shift
	if "$@" >/run/check.log 2>&1; then
		echo "ok - $name" >&3
	else
		echo "not ok - $name (status $?)" >&3
		tail -n 20 /run/check.log | sed 's/^/# /' >&3
	fi
}
block() {
	local name=$1
	shift
	{ echo "begin $name" && "$@" 2>&1 && echo "end $name"; } >&3
}
export HOME=/root PAGER=cat SYSTEMD_COLORS=0

