#!/usr/bin/env bash
# A directory that the host shares, by 9p and by virtiofs, as the lower: laid out as our image, with a registration, and
# with neither. The banner stands everywhere, Nix works, a persistent upper agrees with what the directory has become;
# and nothing but the policy's own word leads there.
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/namespace.sh
for lib in tap cache appliance qemu image verdict upper; do
	. "tests/lib/$lib.sh"
done
work=$qemu_dir/share
rm -rf "$work"
mkdir -p "$work"
image_keys && image=$(image_appliance 2.26) && store=$(appliance_store 2.26) && old=$(appliance_store 2.8) &&
	generic=$(cache_kernel 6.12-generic) || { echo "not ok - what is shared is made" && exit 1; }
: "$generic"
system=$(cat "$store/system")
insecure=("[verify]" "mode = insecure" "[lower]")

# directory NAME: the files of our image, without what seals it.
directory() {
	local start size
	read -r start size <<<"$(image_partition "$image" 1)"
	mkdir -p "$work/mnt" "$work/$1"
	mount -t erofs -o "ro,loop,offset=$start,sizelimit=$size" "$image" "$work/mnt" && cp -a "$work/mnt/." "$work/$1/"
	umount "$work/mnt"
}

# boot NAME KERNEL CMDLINE DISK... [-- CONFIG-LINE...]
boot() {
	local name=$1 kernel=$2 cmdline=$3 initrd
	local -a disks=()
	shift 3
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		disks+=("$1")
		shift
	done
	image_config "$work/$name.conf" "${@:2}"
	initrd=$(image_initrd "$kernel" "$work/$name.conf" 2>"$work/$name.pack") || { cat "$work/$name.pack" && return 1; }
	qemu_boot "$name" "$(cache_kernel "$kernel")" "$initrd" "$cmdline" 400 "${disks[@]}"
	tr -d '\r' <"$qemu_dir/$name.console" | grep -o 'underlay: .*' >"$work/$name.said"
}

field() { jq -r "$2" "$work/$1.state"; }

# shared NAME SCENARIO SHARE KERNEL CMDLINE DISK... [-- CONFIG-LINE...]: boots to the scenario's end, and everybody is
# told that nothing is verified.
shared() {
	local name=$1 scenario=$2 share=$3
	boot "$name" "$4" "appliance.scenario=$scenario $5" "${@:6}"
	guest_found "$name"
	tap_is "$name: the scenario ran to its end" "$(tail -n 1 "$qemu_dir/$name.results") $(cat "$qemu_dir/$name.end")" \
		"end $scenario 0 poweroff"
	[ "$(cat "$qemu_dir/$name.end")" = poweroff ] || qemu_show "$name"
	guest_block "$name" state >"$work/$name.state"
	tap "$name: the banner stands on the console" grep -q 'verify: \*\*\* INSECURE: NOTHING OF THIS SYSTEM IS VERIFIED' \
		"$work/$name.said"
	tap "$name: it names the share" grep -q "the host shares as $share: whoever" "$work/$name.said"
	tap_is "$name: state.json" "$(field "$name" '.lowers[0] | [.verified, .share, .rootHash, .mapping, .filesystem] | join(" ")')" \
		"insecure $share   ${share%%:*}"
	"$underlay" status --file "$work/$name.state" >"$work/$name.status"
	tap_is "$name: underlay status ends with 1 and begins with the word" "$? $(sed -n '1s/ .*//p' "$work/$name.status")" "1 INSECURE"
}

# What a VM of a developer has: a directory like our image, attached in place. A console that shows next to nothing
# shows this.
image_by_9p() {
	shared 9p-image demo 9p:store 6.12-generic quiet "9p:store:$work/image" -- "${insecure[@]}" "share = 9p:store" \
		"[database]" "mode = attach" "[log]" "level = error"
	tap_is "9p-image: Nix reads the directory's database" "$(field 9p-image '.database.mode + " " + .lowers[0].name')" "attach appliance"
	tap "9p-image: the initramfs was packed with a warning" grep -q 'warning: .* verifies nothing of what it starts' \
		"$work/9p-image.conf.6.12-generic.initrd.log"
	# Read-only for the guest, read-only for its owner.
	tap_is "9p-image: nothing was written to it" "$(cd "$work/image" && find . | sort | sha256sum)" "$(cat "$work/image.sum")"
}

# What it also has: the host's own store, whose closure a file registers; an old kernel and an old Nix.
store_by_virtiofs() {
	shared virtiofs-store interop virtiofs:store 6.1 "" "virtiofs:store:$old" -- "${insecure[@]}" "share = virtiofs:store" \
		"registration = /registration" "[system]" "path = $(cat "$old/system")"
	tap_is "virtiofs-store: the database is made of the registration" "$(field virtiofs-store '[.database.mode, .lowers[0].paths] | join(" ")')" \
		"rebuild $(find "$old/nix/store" -mindepth 1 -maxdepth 1 ! -name .links | wc -l)"
}

# The store alone, and nothing that registers it.
plain_by_9p() {
	shared 9p-plain interop 9p:store 6.12-generic "" "9p:store:$store/nix/store" -- "${insecure[@]}" "share = 9p:store" \
		"manifest = optional" "[system]" "path = $system"
	tap_is "9p-plain: there is no database" "$(field 9p-plain .database.mode)" none
}

# The directory as it was before a path came that no other refers to.
earlier() {
	local root
	root=$(grep -vxF "${system##*/}" "$work/image/nix/.underlay/roots" | head -n 1)
	[ -n "$root" ] && cp -a "$work/image" "$work/earlier" && rm -r "$work/earlier/nix/store/$root" &&
		"$underlay" manifest export --format registration "$work/image/nix/.underlay/manifest" |
		awk -v drop="/nix/store/$root" '
			{ line[n++] = $0 }
			n == 5 { lines = 5 + $0 }
			n >= 5 && n == lines { for (i = 0; i < n && line[0] != drop; i++) print line[i]; n = 0 }' >"$work/registration" &&
		sed -i "/^$root\$/d" "$work/earlier/nix/.underlay/roots" && rm "$work/earlier/nix/.underlay/manifest" &&
		"$underlay" manifest create -o "$work/earlier/nix/.underlay/manifest" --registration "$work/registration" >/dev/null
}

# A persistent upper over a directory that becomes another: no root hash tells them apart, the manifest does.
upper_by_virtiofs() {
	local boot dir=$work/earlier
	local -a config=("${insecure[@]}" "share = virtiofs:store" "[upper]" "type = disk" "device = PARTLABEL=upper"
		"prepare = format" "[database]" "mode = rebuild")
	upper_disk "$work/upper.disk" 512
	for boot in first second third; do
		[ $boot != third ] || dir=$work/image
		shared virtiofs-upper-$boot upper virtiofs:store 6.12 "" "virtiofs:store:$dir" "$work/upper.disk:rw" -- "${config[@]}"
		tap_is "virtiofs-upper-$boot: another lower" "$(field virtiofs-upper-$boot .reconcile.lowerChanged)" \
			"$([ $boot = second ] && echo false || echo true)"
	done
}

weaken() {
	"${row:-tap_row}" refused "$1" 11:cmdline-refused reboot "policy: reading the kernel command line: $2" 6.12 "$2" "$image" "virtiofs:store:$store"
}

directory image || { echo "not ok - the directory is made" && exit 1; }
earlier || { echo "not ok - the directory as it was is made" && exit 1; }
(cd "$work/image" && find . | sort | sha256sum) >"$work/image.sum"

tap_case image_by_9p
tap_case upper_by_virtiofs
tap_case store_by_virtiofs
tap_row plain_by_9p
tap_case refused virtiofs-absent 13:device-missing reboot \
	'find: mounting the shared directory: virtiofs:store: no virtiofs device with the tag store appeared in 5 s' \
	6.12 "" "virtiofs:other:$store" -- "${insecure[@]}" "share = virtiofs:store"
tap_row refused 9p-absent 13:device-missing poweroff \
	'find: mounting the shared directory: 9p:store: no 9p device with the tag store appeared in 5 s' \
	6.12-generic "" "9p:other:$store" -- "action = poweroff" "${insecure[@]}" "share = 9p:store"
# What no other lower can stand in for: the first refusal is the boot's.
tap_case refused virtiofs-unregistered 25:bad-manifest halt \
	'lower: looking into an image that is not ours: virtiofs:store: it has neither a manifest nor a registration' \
	6.1 "" "virtiofs:store:$store/nix/store" -- "action = halt" "${insecure[@]}" "share = virtiofs:store"
# A share that is there is nothing to a policy that verifies.
tap_row refused share-not-taken 13:device-missing reboot 'find: .*no disk appeared' 6.12 "" "virtiofs:store:$work/image"
row=tap_case weaken cmdline-share underlay.share=virtiofs:store
weaken cmdline-insecure underlay.verify=insecure
tap_case refused cmdline-pin 11:cmdline-refused reboot 'policy: .*the command line demands what nothing can hold' 6.12 \
	"usrhash=$(printf '0123456789abcdef%.0s' 1 2 3 4)" "virtiofs:store:$work/image" -- "${insecure[@]}" "share = virtiofs:store"
tap_cases
tap_end
