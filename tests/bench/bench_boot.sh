#!/usr/bin/env bash
# How long the initramfs takes: from the kernel's start of /init to the start of the system's own init, both by
# the kernel's clock, in QEMU without KVM. The same appliance is booted by
#
#   attach    underlay-init, signature checked, the lower's database attached
#   rebuild   underlay-init, signature checked, the database rebuilt from the manifest
#   script    a busybox script with veritysetup and mount (tests/bench/boot/script-init), root hash baked in
#   dracut    dracut with systemd of Debian's trixie, roothash= and systemd.volatile=overlay
#
# in turns, so that what else the machine does hits all alike; the medians are compared. Prints a table and
# writes JSON. After the first run nothing is downloaded.
#
# CLOCK=instructions lets the guest's clock run by the instructions that it has executed, 1 ns each: the figures
# are then the same on a busy machine as on an idle one, and differ from run to run by little. What an
# instruction costs to emulate is left out, so ratios of one clock are not those of the other.
#
#   RUNS=5 KERNEL=6.12 CLOCK=real VARIANTS="attach rebuild script dracut" OUT=build/bench/boot.json \
#       tests/bench/bench_boot.sh
cd "$(dirname "$0")/../.." || exit 1
qemu_dir=build/bench/boot
for lib in cache appliance qemu image; do
	. "tests/lib/$lib.sh"
done
runs=${RUNS:-5} kernel=${KERNEL:-6.12} variants=${VARIANTS:-attach rebuild script dracut} out=${OUT:-build/bench/boot.json}
clock=${CLOCK:-real}
mkdir -p "$qemu_dir" "${out%/*}"

fail() {
	echo "bench_boot: $*" >&2
	exit 3
}

case $clock in
real) ;;
instructions)
	# In the place of the program that qemu_run starts; exec, for it may have to kill it.
	qemu-system-x86_64() {
		exec qemu-system-x86_64 -icount shift=0,sleep=off "$@"
	}
	;;
*) fail "there is no clock $clock" ;;
esac

# ---- the initramfs of each variant: $qemu_dir/VARIANT.initrd ---------------------------------------

make_ours() {
	image_config "$qemu_dir/$1.conf" "[database]" "mode = $1" &&
		"$underlay" initrd build -o "$qemu_dir/$1.initrd" --init "${underlay%/*}/underlay-init" \
			--config "$qemu_dir/$1.conf" --cert "$keys_dir/signer.crt" --modules-dir "$modules" >/dev/null
}

# Modules in an order that insmod can load, uncompressed like ours.
script_modules() {
	local root=$1 file name
	"$underlay" initrd build --init "${underlay%/*}/underlay-init" --compress none -o "$root.all" \
		--modules-dir "$modules" >/dev/null || return 1
	mkdir -p "$root.tree" && (cd "$root.tree" && cpio -idm --quiet --no-absolute-filenames) <"$root.all" || return 1
	for name in virtio_pci virtio_blk dm_verity erofs overlay; do
		modprobe -d "$root.tree" -S "${modules##*/}" --show-depends "$name" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
	done | awk '!seen[$0]++' | while read -r file; do
		cp "$file" "$root/" && echo "/${file##*/}"
	done >"$root/modules"
}

make_script() {
	local root=$qemu_dir/script.root library
	rm -rf "$root"*
	mkdir -p "$root"/{bin,proc,sys,dev,run,newroot} && script_modules "$root" || return 1
	cp "$(command -v busybox)" "$root/bin/busybox" && cp "$(command -v veritysetup)" "$root/bin/" || return 1
	for library in $(ldd "$(command -v veritysetup)" | grep -o '/[^ ]*'); do
		mkdir -p "$root${library%/*}" && cp -L "$library" "$root$library" || return 1
	done
	sed -e "s|@root_hash@|$root_hash|" -e "s|@system@|$system|" tests/bench/boot/script-init >"$root/init" &&
		chmod +x "$root/init" || return 1
	(cd "$root" && find . | sort | cpio -o -H newc --quiet) | zstd -19 -q >"$qemu_dir/script.initrd"
}

# dracut's tree with the very modules of the measured kernel; its initramfs lies in the entry's boot/.
dracut_packages=dracut,systemd,systemd-sysv,systemd-cryptsetup,cryptsetup-bin,udev,kmod,zstd,cpio,bash,dash
dracut_packages+=,coreutils,findutils,sed,grep,gawk,util-linux,mount,libc-bin,base-files,procps,binutils
make_dracut_tree() {
	local version=${modules##*/} tree=$1
	cache_make_tree trixie "$dracut_packages" "$tree" && mkdir -p "$tree/usr/lib/modules" "$tree/boot" &&
		cp -r "$modules" "$tree/usr/lib/modules/" && : >"$tree/etc/passwd" || return 1
	in_tree "$tree" sh -c "depmod $version && dracut --force --no-hostonly --kver $version --zstd --strip \
		--add 'systemd systemd-veritysetup' --force-drivers 'dm_verity overlay erofs virtio_blk' \
		--no-early-microcode /boot/initrd" >"$tree.dracut" 2>&1 || {
		tail -n 20 "$tree.dracut"
		return 1
	}
}

# systemd wants a whole system as its root: the appliance's store in a skeleton, with the same first program.
make_dracut() {
	local tree root=$qemu_dir/dracut.root store
	tree=$(cache_build dracut "$(cache_key <<<"$dracut_packages $modules 1")" make_dracut_tree) || return 1
	cp "$tree/boot/initrd" "$qemu_dir/dracut.initrd" && store=$(appliance_store 2.26) || return 1
	rm -rf "$root" && mkdir -p "$root"/{proc,sys,dev,run,tmp,etc,var,root,bin,usr/lib,usr/bin} &&
		echo ID=appliance >"$root/etc/os-release" && cp -a "$store/nix" "$root/nix" &&
		rm -f "$qemu_dir"/dracut.{data,hash} &&
		mkfs.erofs -T0 --all-root "$qemu_dir/dracut.data" "$root" >/dev/null 2>&1 &&
		dracut_hash=$(veritysetup format "$qemu_dir/dracut.data" "$qemu_dir/dracut.hash" | awk '/Root hash/ { print $3 }')
}

# ---- one boot ------------------------------------------------------------------------------------

boot() {
	local variant=$1 cmdline="quiet appliance.scenario=bench" disks=("$image")
	if [ "$variant" = dracut ]; then
		# Both need the whole of it: discovery by a GPT would cost more, udev settles on plain disks.
		cmdline+=" roothash=$dracut_hash systemd.verity_root_data=/dev/vda systemd.verity_root_hash=/dev/vdb"
		cmdline+=" root=/dev/mapper/root rootfstype=erofs ro systemd.volatile=overlay init=$system/init rd.shell=0"
		disks=("$qemu_dir/dracut.data" "$qemu_dir/dracut.hash")
	fi
	qemu_boot "$variant" "$(cache_kernel "$kernel")" "$qemu_dir/$variant.initrd" "$cmdline" 120 "${disks[@]}"
	# init, system, and their difference, in milliseconds.
	awk '/^say init/ { i = $3 } /^say system/ { s = $3 } /^say overlay/ { exit 1 }
		END { if (!i || !s) exit 1; printf "%.0f %.0f %.0f\n", i * 1e3, s * 1e3, (s - i) * 1e3 }' \
		"$qemu_dir/$variant.results" >>"$qemu_dir/$variant.times" || {
		qemu_show "$variant" >&2
		fail "$variant did not boot"
	}
}

median() { # COLUMN FILE
	awk -v c="$1" '{ print $c }' "$2" | sort -n | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

report() {
	local variant
	for variant in $variants; do
		jq -n --arg variant "$variant" --argjson bytes "$(stat -c %s "$qemu_dir/$variant.initrd")" \
			--argjson median "$(median 3 "$qemu_dir/$variant.times")" \
			--argjson unpacked "$(median 1 "$qemu_dir/$variant.times")" \
			--argjson script "$([ -e "$qemu_dir/script.times" ] && median 3 "$qemu_dir/script.times" || echo null)" \
			--argjson runs "[$(awk '{ print $3 }' "$qemu_dir/$variant.times" | paste -sd,)]" \
			'{$variant, initramfs_bytes: $bytes, init_to_system_ms: $median, runs_ms: $runs,
			kernel_to_init_ms: $unpacked, kernel_to_system_ms: ($unpacked + $median),
			to_script: (if $script then $median / $script else null end)}'
	done | jq -s --arg kernel "${modules##*/}" --arg clock "$clock" --argjson paths "$paths" \
		'{$kernel, $clock, store_paths: $paths, variants: .}' >"$out"
	[ -s "$out" ] || fail "the report could not be written"
	jq -r '["variant", "initramfs MB", "kernel to /init ms", "/init to system ms", "least", "most", "of script"],
		(.variants[] | [.variant, (.initramfs_bytes / 1e4 | round / 100), .kernel_to_init_ms, .init_to_system_ms,
		(.runs_ms | min), (.runs_ms | max), (if .to_script then .to_script * 100 | round / 100 else "-" end)])
		| @tsv' "$out" | column -t -s $'\t'
}

modules=$(cache_modules "$kernel") && image_keys && image=$(image_appliance 2.26) && system=$(image_system 2.26) ||
	fail "the appliance could not be made"
root_hash=$("$underlay" image inspect --json "$image" | jq -r '.slots[0].rootHash')
paths=$(jq length "$(appliance_store 2.26)/path-info")
rm -f "$qemu_dir"/*.times
for variant in $variants; do
	case $variant in
	attach | rebuild) make_ours "$variant" ;;
	script) make_script ;;
	dracut) make_dracut ;;
	*) fail "there is no variant $variant" ;;
	esac || fail "the initramfs of $variant could not be made"
done
for ((run = 1; run <= runs; run++)); do
	for variant in $variants; do
		boot "$variant"
		[ ! -t 2 ] || echo "run $run of $runs: $variant: $(tail -n 1 "$qemu_dir/$variant.times" | cut -d ' ' -f 3) ms" >&2
	done
done
report
