#!/usr/bin/env bash
# From the firmware to the last block: UEFI Secure Boot starts a signed UKI, which starts a signed image; and what must
# not start. The one key of the firmware's db is the snakeoil key, which signs UKI and image.
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache appliance qemu image verdict; do
	. "tests/lib/$lib.sh"
done
work=$qemu_dir/secureboot
rm -rf "$work"
mkdir -p "$work"
kernel=$(cache_kernel 6.12) || exit 1
printf 'snakeoil\n' >"$work/passphrase"
snakeoil_key=(--key $snakeoil.key --cert $snakeoil.pem --passphrase-file "$work/passphrase")
stranger_key=(--key "$keys_dir/stranger.key" --cert "$keys_dir/stranger.crt")
attach=("[database]" "mode = attach")

# uki NAME CERT CMDLINE CONFIG-LINE...: a UKI whose initramfs has the policy of the lines and trusts the certificate,
# as what the firmware starts from NAME's EFI system partition. Not signed yet.
uki() {
	local name=$1 cert=$2 cmdline=$3 initrd
	shift 3
	image_config "$work/$name.conf" "${attach[@]}" "$@"
	initrd=$(image_cert=$cert image_initrd 6.12 "$work/$name.conf") && mkdir -p "$work/$name.esp/EFI/BOOT" &&
		"$underlay" uki build -o "$(efi "$name")" --kernel "$kernel" --initrd "$initrd" \
			--cmdline "$qemu_cmdline appliance.scenario=hello $cmdline" >/dev/null
}

efi() {
	echo "$work/$1.esp/EFI/BOOT/BOOTX64.EFI"
}

# signed NAME CERT CMDLINE CONFIG-LINE...: the same, signed by the key that the firmware knows.
signed() {
	uki "$@" && "$underlay" uki sign "$(efi "$1")" "${snakeoil_key[@]}" >/dev/null
}

boot() {
	local name=$1
	shift
	qemu_boot_firmware "$name" "$work/$name.esp" 120 "$@"
	tr -d '\r' <"$qemu_dir/$name.console" | grep -o 'underlay: .*' >"$work/$name.said"
}

# firmware NAME DISK...: the firmware must not start what it finds.
firmware() {
	local name=$1 bad
	boot "$@"
	bad=$(
		tap "$name: the firmware denies access" grep -q 'BdsDxe: failed to load .*: Access Denied' "$qemu_dir/$name.console"
		tap_is "$name: it has nothing else to start" "$(cat "$qemu_dir/$name.end")" firmware
		tap "$name: no kernel ran" test ! -s "$work/$name.said"
	)
	echo "$bad"
	lacks -q '^not ok' <<<"$bad" || qemu_show "$name"
}

state() { # NAME FILTER
	guest_block "$1" state | jq -r "$2"
}

# alter NAME SECTION: change one byte in the middle of a section of the signed UKI.
alter() {
	local offset bytes byte
	read -r offset bytes < <("$underlay" uki inspect "$(efi "$1")" --json |
		jq -r --arg name "$2" '.sections[] | select(.name == $name) | "\(.offset) \(.bytes)"')
	offset=$((offset + bytes / 2))
	byte=$(od -An -tu1 -j "$offset" -N 1 "$(efi "$1")")
	printf "\\$(printf %o $((byte ^ 1)))" | dd of="$(efi "$1")" bs=1 seek="$offset" conv=notrunc status=none
}

image_keys && appliance=$(image_appliance 2.26) && tools=$(image_tools_disk) || { echo "not ok - the image is made" && exit 1; }
image=$work/image.img stranger=$work/stranger.img unsigned=$work/unsigned.img
cp "$appliance" "$image" && "$underlay" image sign "$image" "${snakeoil_key[@]}" >/dev/null
cp "$appliance" "$stranger" && "$underlay" image sign "$stranger" "${stranger_key[@]}" >/dev/null
cp "$appliance" "$unsigned"
read -r start size <<<"$(image_partition "$unsigned" 3)"
root_hash=$(dd if="$unsigned" bs=512 skip=$((start / 512)) count=$((size / 512)) status=none | tr -d '\0' | jq -r .rootHash)
dd if=/dev/zero of="$unsigned" bs=512 seek=$((start / 512)) count=$((size / 512)) conv=notrunc status=none
required=dm_verity.require_signatures=1
serial=$(openssl x509 -in $snakeoil.pem -noout -serial | cut -d = -f 2)
fingerprint=$(openssl x509 -in $snakeoil.pem -outform DER | sha256sum | cut -d ' ' -f 1)

# ---- what must boot ------------------------------------------------------------------------------

# chain NAME MODE: certificates in the UKI and the firmware, the signature in the image.
chain() {
	local name=$1 mode=$2
	boot "$name" "$image" "$tools"
	tap_is "$name: the scenario ran to its end" "$(tail -n 1 "$qemu_dir/$name.results")" "end trust 0"
	tap "$name: underlay-init takes in no new code" \
		grep -q 'underlay: early: no writable memory becomes code' "$qemu_dir/$name.console"
	tap "$name: Secure Boot was on" grep -q 'UEFI Secure Boot is enabled' "$qemu_dir/$name.console"
	tap_is "$name: the kernel demands signatures" "$(guest_says "$name" required)" Y
	tap_is "$name: cryptsetup says of dm-verity" "$(guest_says "$name" status)" "verified (with signature)"
	tap_is "$name: state.json says who checked" "$(state "$name" '.lowers[0].verified')" "$mode"
	tap_is "$name: state.json says by which key the kernel did" \
		"$(state "$name" '.lowers[0].kernelSigner.serial')" "$serial"
	tap_is "$name: state.json says who signed the descriptor" \
		"$(state "$name" '.lowers[0].signer.fingerprint')" "$fingerprint"
	[ "$(tail -n 1 "$qemu_dir/$name.results")" = "end trust 0" ] || qemu_show "$name"
}
signed sb-both $snakeoil.pem "appliance.scenario=trust $required underlay.log=debug" "[verify]" "mode = both"
tap_case chain sb-both both
signed sb-kernel $snakeoil.pem "appliance.scenario=trust $required underlay.log=debug" "[verify]" "mode = kernel"
tap_case chain sb-kernel kernel

# The root hash in the UKI: the image needs no signature.
signed sb-pinned $snakeoil.pem "" "[verify]" "mode = pinned" "root-hash = $root_hash"
tap_case boots sb-pinned "$unsigned"

# ---- what the firmware must not start ------------------------------------------------------------

uki sb-unsigned $snakeoil.pem "" "[verify]" "mode = both"
tap_case firmware sb-unsigned "$image"

uki sb-stranger $snakeoil.pem "" "[verify]" "mode = both"
"$underlay" uki sign "$(efi sb-stranger)" "${stranger_key[@]}" >/dev/null
tap_case firmware sb-stranger "$image"

for section in initrd cmdline linux; do
	signed sb-altered-$section $snakeoil.pem "" "[verify]" "mode = both"
	alter sb-altered-$section .$section
	tap_case firmware sb-altered-$section "$image"
done

# ---- what a boot loader adds to the command line -------------------------------------------------

# loader NAME OPTIONS: systemd-boot starts NAME's UKI, and gives it these words.
loader() {
	local esp=$work/$1.esp
	mv "$(efi "$1")" "$esp/uki.efi"
	mkdir -p "$esp/loader/entries"
	printf 'timeout 0\n' >"$esp/loader/loader.conf"
	printf 'title appliance\nefi /uki.efi\noptions %s\n' "$2" >"$esp/loader/entries/appliance.conf"
	cp /usr/lib/systemd/boot/efi/systemd-bootx64.efi "$(efi "$1")"
	"$underlay" uki sign "$(efi "$1")" "${snakeoil_key[@]}" >/dev/null
}
weaker="$qemu_cmdline underlay.verify=pinned appliance.scenario=hello rdinit=/bin/sh"

# With Secure Boot the stub passes the loader's words over.
loader_ignored() {
	local name=sb-loader
	boot $name "$image"
	tap_is "$name: the scenario ran to its end" "$(tail -n 1 "$qemu_dir/$name.results")" "end trust 0"
	tap_is "$name: the command line is the UKI's" "$(guest_says $name cmdline)" \
		"$qemu_cmdline appliance.scenario=hello appliance.scenario=trust"
	[ "$(tail -n 1 "$qemu_dir/$name.results")" = "end trust 0" ] || qemu_show $name
}
signed sb-loader $snakeoil.pem "appliance.scenario=trust" "[verify]" "mode = both"
loader sb-loader "$weaker"
tap_case loader_ignored

# The same where the UKI has no command line of its own: the blank one counts.
signed sb-loader-blank $snakeoil.pem "" "[verify]" "mode = both"
"$underlay" uki build -o "$(efi sb-loader-blank)" --kernel "$kernel" --initrd "$work/sb-loader-blank.conf.6.12.initrd" \
	"${snakeoil_key[@]}" >/dev/null
loader sb-loader-blank "$weaker"
blank() {
	local name=sb-loader-blank
	boot $name "$image"
	# Without console=ttyS0 the machine says nothing there; its system finds no scenario and powers off.
	tap_is "$name: the system ran without the loader's words" \
		"$(grep -c hello "$qemu_dir/$name.results") $(cat "$qemu_dir/$name.end")" "0 poweroff"
}
tap_case blank

# Without Secure Boot the stub takes them, and the policy refuses.
signed sb-off $snakeoil.pem "" "[verify]" "mode = both"
loader sb-off "${weaker/rdinit=\/bin\/sh/}"
qemu_vars=/usr/share/OVMF/OVMF_VARS_4M.fd tap_case refused sb-off 11:cmdline-refused reboot \
	'policy: reading the kernel command line: underlay.verify=pinned: who decides what is trusted' "$image"

# ---- what Underlay must refuse -------------------------------------------------------------------

signed sb-image-stranger $snakeoil.pem "$required" "[verify]" "mode = both"
tap_case refused sb-image-stranger 19:unknown-signer reboot \
	"verify: checking the signature of the root hash: /dev/vda3: it was made with a certificate issued by .*stranger" "$stranger"

# Its certificate is in the initramfs, but not in the kernel's keyrings.
signed sb-not-in-db "$keys_dir/stranger.crt" "$required" "[verify]" "mode = kernel"
stranger_serial=$(openssl x509 -in "$keys_dir/stranger.crt" -noout -serial | cut -d = -f 2)
tap_case refused sb-not-in-db 19:unknown-signer reboot \
	"verify: checking the root hash's signature in the kernel: /dev/vda1: no key of .builtin_trusted_keys \([0-9]+ entr.*\.platform \([0-9]+ entr.*\) made it; it names serial $stranger_serial of .*stranger.*enrol" "$stranger"

signed sb-required $snakeoil.pem "$required" "[verify]" "mode = user"
tap_case refused sb-required 18:bad-signature reboot \
	"verify: activating dm-verity: /dev/vda1: the kernel demands a signature \(dm_verity.require_signatures\), and none was passed" "$image"

signed sb-missing $snakeoil.pem "$required" "[verify]" "mode = kernel"
tap_case refused sb-missing 18:bad-signature reboot "verify: reading the signature partition: /dev/vda3: the partition is empty" "$unsigned"

signed sb-rollback $snakeoil.pem "$required" "[verify]" "mode = both" "rollback-min = 5"
tap_case refused sb-rollback 22:rollback reboot \
	"verify: checking the rollback index: /dev/vda3: the image has 0, the policy's floor is 5" "$image"

tap_cases
tap_end
