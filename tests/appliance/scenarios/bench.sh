# When the kernel started /init, and when the system's init started, in seconds of the kernel's clock.
dmesg | sed -n -e 's/^\[ *\([0-9.]*\)\] Run .* as init process.*/say init \1/p' \
	-e 's/^\[ *\([0-9.]*\)\] appliance: the system.*/say system \1/p' >&3
grep -q ' /nix/store overlay\| / overlay' /proc/mounts || say overlay missing
