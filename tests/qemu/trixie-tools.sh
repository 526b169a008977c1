#!/usr/bin/env bash
# Other programs read our image: cryptsetup's veritysetup, OpenSSL, and systemd 257, which verifies and mounts it
# in a guest where dm-verity exists.
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache appliance qemu image; do
	. "tests/lib/$lib.sh"
done
work=$qemu_dir/trixie-tools
mkdir -p "$work"
image_keys && image=$(image_appliance 2.26) && trixie=$(cache_tree trixie) ||
	{ echo "not ok - the image is made" && exit 1; }

part() {
	local start size
	read -r start size <<<"$(image_partition "$image" "$1")"
	dd if="$image" of="$work/$2" bs=4096 skip=$((start / 4096)) count=$((size / 4096)) status=none
}
part 1 data
part 2 hash
part 3 signature
tr -d '\0' <"$work/signature" >"$work/signature.json"
root_hash=$(jq -r .rootHash "$work/signature.json")

tap "veritysetup verifies every block" \
	in_tree -b "$PWD/$work:/mnt" "$trixie" veritysetup verify /mnt/data /mnt/hash "$root_hash"
printf '\377' | dd of="$work/data" bs=1 seek=5000000 conv=notrunc status=none
flip_data() {
	printf '\377' | dd of="$work/data" bs=1 seek=5000000 conv=notrunc status=none
	in_tree -b "$PWD/$work:/mnt" "$trixie" veritysetup verify /mnt/data /mnt/hash "$root_hash" 2>&1 |
		grep -q 'Verification failed at position'
}
tap "veritysetup finds one changed byte" flip_data
jq -r .signature "$work/signature.json" | base64 -d >"$work/signature.p7s"
printf %s "$root_hash" >"$work/root-hash"
tap "OpenSSL verifies the signature over the root hash" openssl smime -verify -binary -inform der \
	-in "$work/signature.p7s" -content "$work/root-hash" -certfile "$keys_dir/signer.crt" \
	-CAfile "$keys_dir/signer.crt" -purpose any -out /dev/null
tap_is "the fingerprint is the certificate's" "$(jq -r .certificateFingerprint "$work/signature.json")" \
	"$(openssl x509 -in "$keys_dir/signer.crt" -outform DER | sha256sum | cut -d ' ' -f 1)"

cp --reflink=auto "$image" "$work/image.raw"
dissect() {
	in_tree -b "$PWD/$work:/mnt" "$trixie" systemd-dissect --validate --image-policy="$1" /mnt/image.raw
}
tap "systemd-dissect takes it by a policy of usr=signed" dissect usr=signed
dissect_refuses() {
	# With the policy before, and nothing else different, it does.
	if dissect "$1"; then return 1; fi
}
tap "systemd-dissect does not take it by a policy of usr=encrypted" dissect_refuses usr=encrypted

disk=$(image_tools_disk)
image_config "$work/dissect.conf" "[image]" "disks = vda" "[database]" "mode = attach"
initrd=$(image_initrd 6.12 "$work/dissect.conf")
qemu_boot dissect "$(cache_kernel 6.12)" "$initrd" "appliance.scenario=dissect" 300 "$image" "$disk" "$work/image.raw"
guest_found dissect
tap_is "the scenario ran to its end" "$(tail -n 1 "$qemu_dir/dissect.results")" "end dissect 0"
[ "$(tail -n 1 "$qemu_dir/dissect.results")" = "end dissect 0" ] || qemu_show dissect
tap_end
