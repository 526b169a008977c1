# After a power cut: what must be valid is, and what is valid is whole. appliance.paths names what must be.
expected=$(sed -n 's/.*appliance.paths=\([^ ]*\).*/\1/p' /proc/cmdline | tr ',' '\n' | sed '/./s|^|/nix/store/|')
nix-store --check-validity --print-invalid $(lower_paths) $expected >/tmp/lost 2>&1
lost=$(wc -l </tmp/lost)
sed 's/^/say lost /' /tmp/lost >&3
broken=0
if ! verify_all >/tmp/verify.out; then
	grep -vE '^(reading|checking)' /tmp/verify.out | sed 's/^/say broken /' >&3
	broken=$(grep -cE 'modified|disappeared|not valid' /tmp/verify.out)
	[ "$broken" -gt 0 ] || broken=1
fi
# And the machine is as usable as before.
made=$(nix-store --add /proc/version) && nix-store --check-validity "$made" || say broken "nothing can be added"
say verified "$lost" "$broken"
