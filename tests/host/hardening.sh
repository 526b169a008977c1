#!/usr/bin/env bash
# The three programs as the linker left them: what an attacker of their memory would look for first. And what
# underlay-init links: each library more is code that runs as PID 1.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
build=${BUILD:-build}
dir=$(mktemp -d)
tap_at_exit 'rm -rf "$dir"'
machine=$(uname -m)

# Why each is there; libc comes by itself.
init_libraries=(
	libcryptsetup.so.12    # dm-verity
	libdevmapper.so.1.02.1 # what the kernel says of a mapping
	libblkid.so.1          # partition tables and filesystems
	libsqlite3.so.0        # Nix's database
	libzstd.so.1           # the manifest
	libcrypto.so.3         # PKCS#7, SHA-256
	libkmod.so.2           # modules
	libjson-c.so.5         # the signature's JSON, state.json
	libinih.so.1           # the policy
	libmount.so.1          # the upper's filesystem
	libc.so.6
)

expect() { # NAME COMMAND...
	local name=$1
	shift
	"$@" >"$dir/out" 2>&1
	report $? "$name"
}

has() { # PATTERN FILE
	grep -qE -- "$1" "$2" || { echo "there is no $1 in:" && cat "$2" && return 1; }
}

has_not() {
	[ -s "$2" ] || { echo "$2 is empty, or not there" && return 1; }
	lacks -E -- "$1" "$2"
}

for program in underlay underlay-init underlay-start; do
	file=$build/$program
	readelf -hW "$file" >"$dir/header" && readelf -lW "$file" >"$dir/segments" && readelf -dW "$file" >"$dir/dynamic" &&
		readelf -nW "$file" >"$dir/notes" 2>/dev/null && readelf -sW "$file" >"$dir/symbols"
	report $? "$program: readelf reads it"
	expect "$program: position-independent" has 'Type: +DYN' "$dir/header"
	expect "$program: relocations are made read-only" has 'GNU_RELRO' "$dir/segments"
	expect "$program: all of them, before it starts" has 'BIND_NOW|Flags:.* NOW' "$dir/dynamic"
	expect "$program: the stack is not executable" has 'GNU_STACK .* RW +0x' "$dir/segments"
	expect "$program: nothing is writable and executable" has_not 'LOAD .* RWE ' "$dir/segments"
	expect "$program: its code is not written to by relocations" has_not 'TEXTREL' "$dir/dynamic"
	expect "$program: it looks for libraries in the system's places only" has_not '(RPATH|RUNPATH)' "$dir/dynamic"
	if [ "$machine" = x86_64 ]; then
		expect "$program: fit for a shadow stack" has 'x86 feature: .*SHSTK' "$dir/notes"
	fi
done

for program in underlay underlay-init; do
	readelf -sW "$build/$program" >"$dir/symbols"
	expect "$program: canaries on the stack" has '__stack_chk_fail' "$dir/symbols"
	expect "$program: bounds in libc's functions (fortify)" has '__(memcpy|snprintf|vsnprintf|fprintf)_chk' "$dir/symbols"
done
for program in underlay underlay-init; do
	readelf -sW "$build/$program" | grep UND >"$dir/undefined"
	expect "$program: no function that is bounded by nothing" \
		has_not ' (gets|strcat|sprintf|vsprintf|tmpnam|mktemp)(@|$)' "$dir/undefined"
done

# Each object of ours has it; the program's own mark needs libc's start files to have it too.
case $machine in
x86_64) mark='x86 feature: .*IBT.*SHSTK' ;;
aarch64) mark='AArch64 feature: .*BTI.*PAC' ;;
esac
find "$build"/{common,dbgen,verity,initrd,cli} -name '*.o' ! -name underlay-start.o >"$dir/objects"
while read -r object; do
	readelf -nW "$object" 2>/dev/null | grep -qE "$mark" || echo "$object"
done <"$dir/objects" >"$dir/out"
[ ! -s "$dir/out" ] && [ "$(wc -l <"$dir/objects")" -gt 100 ]
report $? "each object has landing pads and guarded returns"

needed() {
	readelf -dW "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort
}
same_output "printf '%s\n' ${init_libraries[*]} | sort" 'needed "$build/underlay-init"' >"$dir/out" 2>&1
report $? "underlay-init links what stands here, and nothing else"
readelf -dW "$build/underlay-start" >"$dir/dynamic" && readelf -lW "$build/underlay-start" >"$dir/segments" &&
	readelf -rW "$build/underlay-start" >"$dir/relocations"
report $? "underlay-start: readelf reads it again"
expect "underlay-start links nothing" has_not '(NEEDED)' "$dir/dynamic"
expect "underlay-start has no loader" has_not 'INTERP' "$dir/segments"
expect "underlay-start has nothing to relocate" fails 0 'no relocations' cat "$dir/relocations"

# underlay-start clears what it is given, and hands arguments on: seen by a program that takes the place of the next.
mkdir -p "$dir/root/bin"
cp "$build/underlay-start" "$dir/root/init"
cat >"$dir/next.c" <<-'END'
	#include <stdio.h>
	int main(int argc, char **argv, char **environment)
	{
		int n = 0;
		while (environment[n])
			n++;
		printf("%d %s %d\n", argc, argv[argc - 1], n);
		return 0;
	}
END
gcc -static -o "$dir/root/bin/underlay-init" "$dir/next.c" >"$dir/out" 2>&1 &&
	[ "$(GLIBC_TUNABLES=x A=b chroot "$dir/root" /init one two)" = "3 two 0" ]
report $? "underlay-start hands on its arguments and no environment"
rm "$dir/root/bin/underlay-init"
chroot "$dir/root" /init >"$dir/out" 2>&1
[ $? -eq 127 ] && grep -q 'starting /bin/underlay-init failed' "$dir/out"
report $? "underlay-start says so where there is nothing to start"
tap_end
