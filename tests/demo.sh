#!/usr/bin/env bash
# The demonstration: seal a real Nix store into a signed image, boot it in QEMU both ways, and let the Nix inside
# say whether the store is right. Each line below is what a program measured or what the guest said.
cd "$(dirname "$0")/.." || exit 1
qemu_dir=build/demo
for lib in cache appliance qemu image; do
	. "tests/lib/$lib.sh"
done
initrd_options=()
kernel=6.12 nix=2.26

if [ -t 1 ]; then
	bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
	bold='' dim='' green='' red='' plain=''
fi
chapter() {
	printf '\n%s%s%s\n' "$bold" "$*" "$plain"
}
fact() {
	printf '  %-18s %s\n' "$1" "$2"
}
verdict() {
	case $1 in
	ok) printf '  %s✓%s %s\n' "$green" "$plain" "$2" ;;
	*) printf '  %s✗ %s%s\n' "$red" "$2" "$plain" && failed=1 ;;
	esac
}
fail() {
	echo "${red}$*${plain}" >&2
	exit 1
}
megabytes() {
	awk -v n="$1" 'BEGIN {printf "%.1f MB", n / 1e6}'
}
milliseconds() {
	awk -v n="$1" 'BEGIN {printf "%.1f ms", n / 1e3}'
}
elapsed() {
	awk -v a="$1" -v b="$(date +%s%N)" 'BEGIN {printf "%.1f s", (b - a) / 1e9}'
}
failed=0
began=$(date +%s)
[ "$(id -u)" -eq 0 ] || fail "make demo makes a Nix store in a root of its own, which needs root: run it by sudo or in a container."
mkdir -p "$qemu_dir"

# ---- build time ----------------------------------------------------------------------------------

store=$(appliance_store $nix) && vmlinuz=$(cache_kernel $kernel) && image_keys || fail "The set-up failed."
system=$(cat "$store/system")
paths=$(jq 'length' "$store/path-info")

chapter "A Nix store, made on this machine by real Nix"
fact "store paths" "$paths, $(megabytes "$(jq '[.[].narSize] | add' "$store/path-info")") of contents"
fact "the system" "$system"

chapter "Sealed into an image"
image=$qemu_dir/appliance.img
rm -f "$image"
start=$(date +%s%N)
image_build $nix "$image" >"$qemu_dir/build.log" 2>&1 || { cat "$qemu_dir/build.log" && fail "The image could not be built."; }
took=$(elapsed "$start")
"$underlay" image inspect --json "$image" >"$qemu_dir/inspect.json" || fail "The image could not be read."
root_hash=$(jq -r '.slots[0].rootHash' "$qemu_dir/inspect.json")
fact "image" "$image, $(megabytes "$(stat -c %s "$image")"), built in $took"
fact "root hash" "$root_hash"
fact "signed by" "$(openssl x509 -in "$keys_dir/signer.crt" -noout -subject -nameopt RFC2253 | sed 's/subject=//')"
start=$(date +%s%N)
"$underlay" image verify --cert "$keys_dir/signer.crt" "$image" >"$qemu_dir/verify.log" 2>&1 ||
	{ cat "$qemu_dir/verify.log" && fail "The image does not verify."; }
fact "checked whole" "signature, every block's hash, manifest: in $(elapsed "$start")"
# One more than the closure has: the path that refers to all that the collector must keep.
sealed=$(sed -n 's/^ok *manifest *\([0-9]*\) store paths$/\1/p' "$qemu_dir/verify.log")
[ "$sealed" = $((paths + 1)) ] || verdict bad "the image has ${sealed:-no} store paths: the closure's $paths and the collector's root were sealed"

image_config "$qemu_dir/attach.conf" "[database]" "mode = attach"
image_config "$qemu_dir/rebuild.conf" "[database]" "mode = rebuild"
for mode in attach rebuild; do
	image_initrd $kernel "$qemu_dir/$mode.conf" >"$qemu_dir/$mode.initrd" || fail "The initramfs could not be packed."
done
fact "initramfs" "$(megabytes "$(stat -c %s "$(cat "$qemu_dir/attach.initrd")")"): underlay-init, libraries, modules, policy, certificate"

# ---- boot time -----------------------------------------------------------------------------------

chapter "Booted twice in QEMU, side by side ${dim}(emulated: no KVM)${plain}"
for mode in attach rebuild; do
	qemu_boot demo-$mode "$vmlinuz" "$(cat "$qemu_dir/$mode.initrd")" "appliance.scenario=demo" 600 "$image" &
done
wait

results() {
	guest_says "demo-$1" "$2" | head -n 1
}

tell() {
	local mode=$1 state=$qemu_dir/demo-$1.state line
	if [ "$(tail -n 1 "$qemu_dir/demo-$mode.results")" != "end demo 0" ]; then
		verdict bad "$mode: the appliance did not get to the end of its scenario"
		qemu_show "demo-$mode"
		return
	fi
	guest_block "demo-$mode" state >"$state"

	case $mode in
	attach) chapter "Attached: Nix reads the image's own database in place" ;;
	rebuild) chapter "Rebuilt: a plain Nix database, written from the manifest at boot" ;;
	esac
	fact "kernel" "Linux $(results "$mode" kernel)"
	fact "verified" "root hash $(jq -r '.lowers[0].rootHash' "$state" | cut -c 1-16)..., signed by $(jq -r '.lowers[0].signer.subject' "$state")"
	fact "database" "$(jq -r .database.mode "$state"), ready in $(milliseconds "$(jq -r .database.us "$state")")"
	fact "/init to system" "$(milliseconds "$(jq -r .timeline.totalUs "$state")")"
	fact "inside" "$(results "$mode" nix), made $(results "$mode" made)"
	[ "$(jq -r '.lowers[0].rootHash' "$state")" = "$root_hash" ] || verdict bad "the guest opened another image"
	[ "$(results "$mode" lower-paths)" = "$sealed" ] ||
		verdict bad "the guest sees $(results "$mode" lower-paths) sealed paths, and not ${sealed:-those of the image}"
	while read -r line; do
		case $line in
		"ok - "*) verdict ok "${line#ok - }" ;;
		"not ok - "*) verdict bad "${line#not ok - }" ;;
		"# "*) echo "    $line" ;;
		esac
	done <"$qemu_dir/demo-$mode.results"
}
tell attach
tell rebuild

chapter "$([ $failed = 0 ] && echo "All of it held" || echo "Something did not hold")${plain}, in $(($(date +%s) - began)) s. ${dim}Logs: $qemu_dir/*.console${plain}"
exit $failed
