# Reads the files of the lower, all or those below damage.read=PATH, tells their hashes, and what the boot, `underlay
# status` and `underlay image locate` say of damage. The second disk has the underlay command with its libraries.
read=$(sed -n 's/.*damage.read=\([^ ]*\).*/\1/p' /proc/cmdline)
(cd /nix/.ro && find "${read:-nix}" -type f -exec sha256sum {} + 2>/tmp/unreadable | sort) >/tmp/hashes
say files "$(wc -l </tmp/hashes)"
say unreadable "$(wc -l </tmp/unreadable)"
say hash "$(sha256sum </tmp/hashes | cut -d ' ' -f 1)"

mkdir -p /tools
if mount -t erofs -o ro /dev/vdb /tools; then
	underlay() {
		/tools/ld.so --library-path /tools /tools/underlay "$@"
	}
	underlay status >/tmp/status
	say status "$?"
	sed 's/^/status: /' /tmp/status >&3
	underlay image locate --damaged --json /dev/vda >/tmp/damaged
	# A block may be of several files.
	grep -h -o '"number": *[0-9]*' /tmp/damaged | grep -o '[0-9]*$' | sort -un >/tmp/blocks
	say damaged "$(wc -l </tmp/blocks)"
	sed 's/^/block /' /tmp/blocks >&3
fi
echo "begin state" >&3
cat /run/underlay/state.json >&3
echo "end state" >&3
