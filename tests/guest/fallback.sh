# The upper is a tmpfs that takes the place of the disk's: said, not hidden.
tell_boot
check "the upper is a tmpfs" grep -q '^tmpfs /nix/.rw tmpfs' /proc/mounts
/data/underlay status >/tmp/status
status=$?
block status </tmp/status
check "underlay status says it in words" grep -qi 'tmpfs' /tmp/status
check "and by its exit status" test $status = 1
