#!/usr/bin/env bash
# The UKI: its bytes against objcopy's reading, its signature against sbverify's, and what is refused.
set -u
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache; do
	. "tests/lib/$lib.sh"
done
underlay=${UNDERLAY:-build/underlay}
dir=$(mktemp -d)
tap_at_exit 'rm -rf "$dir"'
kernel=$(cache_kernel 6.12) || exit 1
snakeoil=/usr/share/ovmf/PkKek-1-snakeoil
printf 'snakeoil\n' >"$dir/passphrase"
key=(--key $snakeoil.key --cert $snakeoil.pem --passphrase-file "$dir/passphrase")
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=stranger" -keyout "$dir/stranger.key" \
	-out "$dir/stranger.crt" 2>/dev/null
head -c 100001 /dev/urandom >"$dir/initrd"
printf 'microcode' >"$dir/early"

build() { # NAME OPTION...
	local name=$1
	shift
	"$underlay" uki build -o "$dir/$name" --kernel "$kernel" --initrd "$dir/early" --initrd "$dir/initrd" \
		--cmdline "console=ttyS0 quiet" "$@" >"$dir/out" 2>&1
}

# section NAME SECTION: its bytes, as objcopy finds them.
section() {
	objcopy --dump-section "$2=$dir/$1$2" "$dir/$1" "$dir/copy" 2>>"$dir/out" && cat "$dir/$1$2"
}

refused() { # STATUS PATTERN NAME COMMAND...
	local wanted=$1 pattern=$2 name=$3 status
	shift 3
	"$@" >"$dir/out" 2>&1
	status=$?
	[ $status -eq "$wanted" ] && grep -q -- "$pattern" "$dir/out"
	report $? "$name"
}

build a && build b
report $? "a UKI is built"
cmp "$dir/a" "$dir/b"
report $? "the same parts give the same bytes"

section a .linux | cmp - "$kernel"
report $? "objcopy finds the kernel"
same_output 'cat "$dir/early" && printf "\0\0\0" && cat "$dir/initrd"' 'section a .initrd'
report $? "objcopy finds both initramfs files, the second at a multiple of four"
[ "$(section a .cmdline)" = "console=ttyS0 quiet" ]
report $? "objcopy finds the command line"
equal "$(section a .uname)" "$(basename "$kernel" | sed 's/vmlinuz-//')"
report $? "objcopy finds the kernel's version, which the kernel said"
grep -q "^PRETTY_NAME=" <<<"$(section a .osrel)"
report $? "objcopy finds the os-release text"
cp /usr/lib/systemd/boot/efi/linuxx64.efi.stub "$dir/stub"
same_output 'section a .sbat' 'section stub .sbat' && grep -q ^sbat, "$dir/a.sbat"
report $? "the stub's .sbat stays"
"$underlay" uki build -o "$dir/no-cmdline" --kernel "$kernel" --initrd "$dir/initrd" >"$dir/out" 2>&1 &&
	equal "$(section no-cmdline .cmdline | od -An -c)" "$(printf ' ' | od -An -c)"
report $? "without a command line there is a blank one, so that the stub takes none from the boot loader"

build signed "${key[@]}"
report $? "a UKI is signed with a key that has a passphrase"
sbverify --cert $snakeoil.pem "$dir/signed" >"$dir/out" 2>&1
report $? "sbverify accepts it"
"$underlay" uki sign "$dir/a" "${key[@]}" -o "$dir/signed-later" >"$dir/out" 2>&1 &&
	sbverify --cert $snakeoil.pem "$dir/signed-later" >>"$dir/out" 2>&1 && cmp "$dir/a" "$dir/b"
report $? "a UKI that was built unsigned is signed later, into another file"
for name in signed signed-later; do
	cp "$dir/$name" "$dir/$name.removed" && sbattach --remove "$dir/$name.removed" >"$dir/out" 2>&1
done
cmp "$dir/signed.removed" "$dir/a" && cmp "$dir/signed-later.removed" "$dir/a"
report $? "but for the signature, signed and unsigned are the same bytes"
"$underlay" uki inspect "$dir/signed" --cert $snakeoil.pem --json >"$dir/out" 2>&1 &&
	jq -e '.verified and .signatures[0].serial == "2D3B3E2FEF17CC294C1A102FC8521DB29FCF6205" and
		.cmdline == "console=ttyS0 quiet" and (.sections | map(.name) | index(".linux"))' "$dir/out" >/dev/null
report $? "inspect tells signer, command line and sections"
# One private key lies there with good reason: the search finds it, and no other.
find /tmp "$dir" -maxdepth 1 -type f -newer "$dir/passphrase" -exec grep -l "BEGIN PRIVATE KEY" {} + 2>/dev/null >"$dir/out"
[ "$(cat "$dir/out")" = "$dir/stranger.key" ]
report $? "no decrypted key was left behind"

refused 1 "did not sign these bytes" "inspect does not accept another certificate" \
	"$underlay" uki inspect "$dir/signed" --cert "$dir/stranger.crt"
refused 1 "did not sign these bytes" "inspect does not accept an unsigned UKI" \
	"$underlay" uki inspect "$dir/a" --cert $snakeoil.pem
refused 1 "reading the certificate: $dir/early: it is not a certificate in PEM" "a certificate that is none is no other signature" \
	"$underlay" uki inspect "$dir/signed" --cert "$dir/early"
cp "$dir/signed" "$dir/altered"
printf 'x' | dd of="$dir/altered" bs=1 seek=2000000 conv=notrunc status=none
refused 1 "did not sign these bytes" "inspect does not accept a kernel with one byte changed" \
	"$underlay" uki inspect "$dir/altered" --cert $snakeoil.pem
refused 1 "does not belong to the certificate" "a key of another certificate is refused" \
	"$underlay" uki sign "$dir/a" --key "$dir/stranger.key" --cert $snakeoil.pem
refused 1 "wrong passphrase\|Check the passphrase" "a wrong passphrase is refused" \
	"$underlay" uki sign "$dir/a" --key $snakeoil.key --cert $snakeoil.pem --passphrase-file "$dir/early"
refused 1 "not a kernel that UEFI can start" "what is no kernel is refused" \
	"$underlay" uki build -o "$dir/x" --kernel "$dir/initrd" --initrd "$dir/initrd"
refused 1 "the kernel's version holds a space, or what is not ASCII" "a version that a terminal would obey is refused" \
	"$underlay" uki build -o "$dir/x" --kernel "$kernel" --initrd "$dir/initrd" --uname $'6\e[31m'
refused 3 "No such file" "a stub that is missing is named" build x --stub /nonexistent.stub
refused 1 "section .osrel already" "a UKI is no stub" \
	"$underlay" uki build -o "$dir/x" --kernel "$kernel" --initrd "$dir/initrd" --stub "$dir/a"
refused 1 "who decides what is trusted" "a command line that each boot would refuse is refused" \
	"$underlay" uki build -o "$dir/x" --kernel "$kernel" --initrd "$dir/initrd" --cmdline underlay.verify=pinned
refused 2 "--cert is missing: --key needs it" "a key without its certificate is wrong use" \
	"$underlay" uki build -o "$dir/x" --kernel "$kernel" --initrd "$dir/initrd" --key $snakeoil.key
[ ! -e "$dir/x" ]
report $? "a refused build leaves no file"
tap_end
