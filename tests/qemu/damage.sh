#!/usr/bin/env bash
# Damaged storage: what error correction mends, what it cannot mend and each policy's way with that, what is told of
# it; and that the report of a failed boot is there in the next good one.
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache appliance qemu image; do
	. "tests/lib/$lib.sh"
done
work=$qemu_dir/damage
mkdir -p "$work"
kernel=6.12

image_keys && system=$(image_system 2.26) || { echo "not ok - keys and store are made" && exit 1; }
attach=("[database]" "mode = attach")
sealed=$work/sealed.img
rm -f "$sealed"
image_build 2.26 "$sealed" --fec >"$work/build.log" 2>&1 || { cat "$work/build.log" && echo "not ok - the image is built" && exit 1; }
info=$("$underlay" image inspect --json "$sealed")
blocks=$(jq .slots[0].descriptor.dataBlocks <<<"$info")
roots=$(jq .slots[0].descriptor.fecRoots <<<"$info")
rounds=$(($(jq .slots[0].descriptor.fecSize <<<"$info") / 4096 / roots))
data_start=$(jq .partitions[0].offset <<<"$info")
data_size=$(jq .partitions[0].size <<<"$info")

copy_image() {
	cp --reflink=auto --sparse=always "$sealed" "$work/$1.img" && echo "$work/$1.img"
}

# spoil IMAGE BLOCK...: overwrite data blocks.
spoil() {
	local target=$1 block
	shift
	for block; do
		head -c 4096 /dev/zero | tr '\0' '\245' |
			dd of="$target" bs=4096 seek=$((data_start / 4096 + block)) conv=notrunc status=none
	done
}

# The filesystem alone; and the first block of a file of it.
dd if="$sealed" of="$work/data" bs=1M iflag=skip_bytes,count_bytes skip="$data_start" count="$data_size" status=none
first_block() {
	echo $(($(dump.erofs -e --path="$1" "$work/data" | sed -n 's/^ *0: .*: *\([0-9]*\)\.\..*/\1/p') / 4096))
}
# The program that runs the system's init: nothing goes without it. The manifest is read by the boot itself.
program_path=$(sed -n '1s/^#!\([^ ]*\) .*/\1/p' "$(appliance_store 2.26)$system/init")
program=$(first_block "$program_path")
manifest=$(first_block /nix/.underlay/manifest)

# What every sealed file should be: by the kernel of this machine.
mkdir -p "$work/mnt"
mount -o loop,ro "$work/data" "$work/mnt" || { echo "not ok - the filesystem is mounted" && exit 1; }
(cd "$work/mnt" && find nix -type f -exec sha256sum {} + | LC_ALL=C sort) >"$work/hashes"
umount "$work/mnt"
wanted() { # PATH: those below it
	local list=$work/wanted.$BASHPID # in a pipe it is another one
	grep "  $1/" "$work/hashes" >"$list" || { echo "no file is below $1" && return; }
	sha256sum <"$list" | cut -d ' ' -f 1
}

# The command with its libraries, as a disk.
tools=$work/tools.img
mkdir -p "$work/tools"
cp "$underlay" $(ldd "$underlay" | grep -o '/[^ ]*') "$work/tools/" && mv "$work"/tools/ld-linux* "$work/tools/ld.so" &&
	mkfs.erofs "$tools" "$work/tools" >"$work/tools.log" 2>&1 || { cat "$work/tools.log" && echo "not ok - the tools are packed" && exit 1; }

said() {
	tr -d '\r' <"$qemu_dir/$1.console" | grep -o 'underlay: .*'
}
state() { # NAME FILTER
	guest_block "$1" state | jq -r "$2"
}
# show NAME LINES: the case's lines; the boot's end where one of them says "not ok".
show() {
	echo "$2"
	lacks -q '^not ok' <<<"$2" || qemu_show "$1"
}

# boot NAME KERNEL IMAGE CMDLINE [CONFIG-LINE...]
boot() {
	local name=$1 kernel=$2 image=$3 cmdline=$4 initrd
	shift 4
	image_config "$work/$name.conf" "$@"
	# A delay of the case's own takes the place of the usual one.
	lacks -q '^delay = [1-9]' "$work/$name.conf" 2>/dev/null || sed -i '/^delay = 0$/d' "$work/$name.conf"
	initrd=$(image_initrd "$kernel" "$work/$name.conf") || return 1
	qemu_boot "$name" "$(cache_kernel "$kernel")" "$initrd" "$cmdline" 300 "$image" "$tools"
}

# ---- error correction mends ----

# 100 blocks, no more than two of them in one round, the program's and the manifest's among them.
scattered=()
for ((i = 0; i < 100; i++)); do
	block=$(((program + i) % rounds + (program / rounds + 37 * i) % (blocks / rounds) * rounds))
	[ "$i" -ge "$rounds" ] || [ $((block % rounds)) -ne $((manifest % rounds)) ] || block=$manifest
	scattered+=("$block")
done
[[ " ${scattered[*]} " == *" $manifest "* ]] || scattered[99]=$manifest
mended() { # NAME KERNEL [PATH]: all files are read, or those below the path
	local name=$1 kernel=$2 image
	image=$(copy_image "$name") && spoil "$image" "${scattered[@]}"
	boot "$name" "$kernel" "$image" "appliance.scenario=damage ${3:+damage.read=$3}" "${attach[@]}"
	show "$name" "$(
		tap_is "$name: the scenario ran to its end" "$(tail -n 1 "$qemu_dir/$name.results")" "end damage 0"
		tap_is "$name: 100 blocks are damaged" "$(guest_says "$name" damaged)" 100
		tap_is "$name: which they are" "$(sed -n 's/^block //p' "$qemu_dir/$name.results" | sort -n | tr '\n' ' ')" \
			"$(printf '%s\n' "${scattered[@]}" | sort -n | tr '\n' ' ')"
		tap_is "$name: every sealed file is what was signed" "$(guest_says "$name" hash)" "$(wanted "${3:-nix}")"
		tap_is "$name: every file could be read" "$(guest_says "$name" unreadable)" 0
		tap "$name: the boot counted what was mended until then" test "$(state "$name" '.lowers[0].fec.mended')" -ge 1
		tap "$name: status counts what was mended" \
			test "$(sed -n 's/^status:   mended   \(at least \)*\([0-9]*\) times.*/\2/p' "$qemu_dir/$name.results")" -ge "$([ -z "${3:-}" ] && echo 10 || echo 1)"
		tap_is "$name: status: nothing corrupt, and exit status 0" "$(guest_says "$name" status)" 0
	)"
}

# ---- and what it cannot mend ----

# Three blocks of the program's round, two of which an error correction of 2 roots can mend.
too_many=("$program" $(((program + rounds) % (rounds * 200))) $(((program + 2 * rounds) % (rounds * 200))))
refused=$(copy_image refused) && spoil "$refused" "${too_many[@]}"
beyond() {
	boot beyond $kernel "$refused" appliance.scenario=hello "${attach[@]}"
	show beyond "$(
		tap "beyond: the report names block, store path and file" grep -qE \
			"^underlay: pivot: .*; data block $program is corrupt: ${program_path%/bin/*}: bin/${program_path##*/}, bytes 0 to" \
			<(said beyond)
		tap "beyond: ends in failure 21" grep -qF 'failure 21 (corrupt); rebooting' <(said beyond)
		tap_is "beyond: how the machine ended" "$(cat "$qemu_dir/beyond.end")" reboot
		tap "beyond: nothing of the system ran" test ! -s "$qemu_dir/beyond.results"
	)"
}
acts() { # MODE END
	boot "acts-$1" $kernel "$refused" appliance.scenario=hello "${attach[@]}" "[verify]" "corruption = $1"
	show "acts-$1" "$(
		tap "acts-$1: the kernel names the block" grep -q "data block $program is corrupted" "$qemu_dir/acts-$1.console"
		tap_is "acts-$1: how the machine ended" "$(cat "$qemu_dir/acts-$1.end")" "$2"
		tap "acts-$1: nothing of the system ran" test ! -s "$qemu_dir/acts-$1.results"
	)"
}

# Damage that the boot does not meet, in a running system: status names it.
seen=$("$underlay" image locate --json "$sealed" $((blocks / 2))-$((blocks / 2 + 200)) |
	jq -r '[.places[] | select(.kind == "file" and (.path | test("/bin/") | not))][0] | "\(.number) \(.path)"')
running=$(copy_image running) && spoil "$running" ${seen% *} $((${seen% *} + rounds)) $((${seen% *} + 2 * rounds))
later() {
	boot later $kernel "$running" "appliance.scenario=damage damage.read=${seen#* /}" "${attach[@]}"
	show later "$(
		tap_is "later: the scenario ran to its end" "$(tail -n 1 "$qemu_dir/later.results")" "end damage 0"
		tap_is "later: the file is unreadable" "$(guest_says later unreadable)" 1
		tap_is "later: status: corrupt, and exit status 1" "$(guest_says later status)" 1
		tap "later: status names block, store path and file" grep -q \
			"^status:   corrupt  data block ${seen% *}: $(cut -d/ -f1-4 <<<"${seen#* }"): " "$qemu_dir/later.results"
	)"
}

# ---- read errors ----

read_error() { # KERNEL MODE WORD
	local name=read-error-$1-$2
	boot "$name" "$1" "$sealed" "appliance.scenario=damage damage.read=nix/.underlay" "${attach[@]}" "[verify]" "read-error = $2"
	show "$name" "$(
		if [ "$1" = 6.1 ]; then
			tap "$name: refused by a kernel that has it not" grep -qF \
				"verify: setting what dm-verity does at a read error: underlay: this kernel's dm-verity has no $3. Use kernel 6.12" \
				<(said "$name")
			tap "$name: ends in failure 12" grep -qF 'failure 12 (module-missing); rebooting' <(said "$name")
		else
			tap_is "$name: boots" "$(tail -n 1 "$qemu_dir/$name.results")" "end damage 0"
			tap_is "$name: every sealed file is what was signed" "$(guest_says "$name" hash)" "$(wanted nix/.underlay)"
		fi
	)"
}

# ---- a report that survives ----

# The report of the boot before, as state.json has it.
reported() { # NAME FROM
	tap_is "$1: state.json says where the report was kept" "$(state "$1" .lastFailure.from)" "$2"
	tap_is "$1: its code, name and stage" "$(state "$1" '.lastFailure | "\(.code) \(.name) \(.stage)"')" "21 corrupt pivot"
	tap "$1: its sentence names block, store path and file" grep -q \
		"data block $program is corrupt: ${program_path%/bin/*}: bin/${program_path##*/}, bytes 0 to" <<<"$(state "$1" .lastFailure.sentence)"
	tap "$1: when it was" test "$(state "$1" .lastFailure.when)" -gt $(($(date +%s) - 3600))
}

# In an EFI variable: three boots by one firmware.
efi() {
	local vars=$work/efi.vars
	cp /usr/share/OVMF/OVMF_VARS_4M.fd "$vars"
	local -a qemu_extra=(-drive "if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd"
		-drive "if=pflash,format=raw,unit=1,file=$vars")
	boot efi-bad "$1" "$refused" appliance.scenario=report "${attach[@]}"
	boot efi-good "$1" "$sealed" appliance.scenario=report "${attach[@]}"
	show efi-good "$(
		tap "efi: the first boot fails" grep -qF 'failure 21 (corrupt); rebooting' <(said efi-bad)
		tap_is "efi-good: boots" "$(tail -n 1 "$qemu_dir/efi-good.results")" "end report 0"
		reported efi-good efi
		tap "efi-good: the kernel shows variables" test "$(guest_says efi-good efi-variables)" -gt 5
		tap_is "efi-good: the report is taken away" "$(guest_says efi-good efi-reports)" 0
	)"
}

# In memory that a restart spares: one run of QEMU, in which the disk is mended between two boots.
ramoops() {
	local qemu_restarts=yes name=ramoops-$1 disk watcher
	disk=$(copy_image "$name") && spoil "$disk" "${too_many[@]}"
	(
		until grep -qs 'failure 21 (corrupt); rebooting' "$qemu_dir/$name.console"; do
			sleep 0.2
		done
		dd if="$sealed" of="$disk" bs=1M conv=notrunc status=none
	) &
	watcher=$!
	boot "$name" "$1" "$disk" "appliance.scenario=report memmap=1M\$0x30000000 ramoops.mem_address=0x30000000 ramoops.mem_size=0x100000 ramoops.record_size=0x8000 ramoops.max_reason=0" \
		"delay = 6s" "${attach[@]}"
	kill "$watcher" 2>/dev/null
	show "$name" "$(
		tap "$name: the first boot fails" grep -qF 'failure 21 (corrupt); rebooting' <(said "$name")
		tap_is "$name: the second one boots" "$(tail -n 1 "$qemu_dir/$name.results")" "end report 0"
		reported "$name" pstore
		tap_is "$name: the report is taken away" "$(guest_says "$name" pstore-files)" 0
	)"
}

tap_case mended mended-6.12 6.12
tap_case mended mended-6.1 6.1 nix/.underlay
tap_case beyond
tap_case acts restart reboot
tap_case acts panic panic
tap_case later
tap_case efi 6.1
tap_case ramoops 6.12
tap_case read_error 6.12 panic panic_on_error
tap_case read_error 6.1 restart restart_on_error
tap_cases
tap_end
