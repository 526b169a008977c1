# After a power cut: what must be valid is, and what is valid is whole. appliance.paths names what must be.
expected=$(sed -n 's/.*appliance.paths=\([^ ]*\).*/\1/p' /proc/cmdline | tr ',' '\n' | sed '/./s|^|/nix/store/|')
nix-store --check-validity --print-invalid $(lower_paths) $expected >/tmp/lost 2>&1
lost=$(wc -l </tmp/lost)
sed 's/^/say lost /' /tmp/lost >&3
# The sealed files are dm-verity's to check; of the upper's, those that Nix calls valid.
broken=0
upper=$(ls /nix/.rw/kept /nix/.rw/sessions/*/up | sort -u | sed -n '/^[0-9a-z]\{32\}-.*/s|^|/nix/store/|p' | grep -v '\.lock$')
if [ -n "$upper" ]; then
	# Busybox' grep takes an empty file for a pattern that every line has.
	echo none >/tmp/invalid
	nix-store --check-validity --print-invalid $upper >>/tmp/invalid
	valid=$(echo "$upper" | grep -vxFf /tmp/invalid)
	say upper "$(echo "$upper" | wc -l), valid $(echo "$valid" | grep -c .)"
	if [ -n "$valid" ] && ! nix-store --verify-path $valid >/tmp/verify.log 2>&1; then
		sed 's/^/say broken /' /tmp/verify.log >&3
		broken=$(grep -c . /tmp/verify.log)
	fi
fi
if [ -n "$expected" ] && [ -z "${valid:-}" ]; then
	say broken "nothing of the upper was verified"
	broken=$((broken + 1))
fi
if ! verify_all >/tmp/verify.out; then
	grep -vE '^(reading|checking)' /tmp/verify.out | sed 's/^/say broken /' >&3
	broken=$((broken + 1))
fi
# And the machine is as usable as before.
made=$(nix-store --add /proc/version) && nix-store --check-validity "$made" || broken=$((broken + 1))
say verified "$lost" "$broken"
