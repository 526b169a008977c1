# Booting in QEMU. To be sourced after cache.sh.
#
#   qemu_boot NAME KERNEL INITRD CMDLINE [SECONDS [DISK...]]
#
#   qemu_boot_firmware NAME ESP [SECONDS [DISK...]]
#   qemu_boot_disk NAME FILE virtio|nvme 512|4096 [SECONDS [DISK...]]
#
# boots and waits: the first by QEMU's own loader, the others by UEFI firmware with Secure Boot on, whose only
# key is the snakeoil one of Debian's ovmf package ($snakeoil.pem, .key, passphrase snakeoil), from the folder ESP as
# an EFI system partition, and from a whole disk, which is written to. Afterwards $qemu_dir has
#   NAME.console   what the kernel and underlay-init said (ttyS0)
#   NAME.results   what the appliance's scenario said (ttyS1); kernel messages cannot break these lines
#   NAME.end       how the machine ended: poweroff, reboot, halt, panic, limit (killed), firmware (it has
#                  nothing that it may start), failed: REASON
#   NAME.seconds   how long QEMU ran
# Of the results:
#   guest_block NAME KEY            what a scenario said between "begin KEY" and "end KEY"
#   guest_says NAME KEY             the values of "say KEY VALUE"
#   guest_found NAME [LABEL]        test lines: what its scenario found, under the boot's name or that label
#   guest_checks NAME SCENARIO      the same, that the scenario came to its end, and that the machine powered off
# Arguments for QEMU besides stand in the array qemu_extra. Where qemu_restarts is set, a restart does not end QEMU:
# the machine starts again, with its memory as it was.
# A DISK is an image file, given read-only; a writable one is FILE:rw; 9p:TAG:DIR and virtiofs:TAG:DIR are no disks but
# directories that the host shares. Nothing can hang: a boot that has not
# ended after SECONDS (120) is killed. No more boots run at once than this machine has cores, whoever starts
# them, because emulation is all computing: callers may start all of theirs in the background and wait.

qemu_dir=${qemu_dir:-build/qemu}
mkdir -p "$qemu_dir"
qemu_memory=${qemu_memory:-1024}

# Take one of the machine's boot slots on file descriptor 8; it is free again when the process ends.
qemu_take_slot() {
	local count slot
	count=$(nproc)
	mkdir -p "$cache_dir"
	while true; do
		for ((slot = 0; slot < count; slot++)); do
			exec 8>"$cache_dir/.boot-slot-$slot"
			if flock -n 8; then
				return
			fi
		done
		sleep 0.5
	done
}

# How a machine ended: QEMU's trace tells of a shutdown that the guest asked for (reason 6 of its enum
# ShutdownCause); what else ends QEMU well, with -no-reboot, is a restart.
qemu_end() {
	local base=$1 status=$2
	if grep -q 'Kernel panic' "$base.console"; then
		echo panic
	elif [ "$status" -ne 0 ]; then
		echo "failed: QEMU's status $status"
	elif grep -q 'qemu_system_shutdown_request reason=6$' "$base.events"; then
		echo poweroff
	elif lacks -q 'qemu_system_shutdown_request' "$base.events"; then
		echo reboot
	else
		echo "failed: $(cat "$base.events")"
	fi
}

# qemu_virtiofsd SOCKET LOG DIR: serves the directory in the background until QEMU hangs up; $virtiofsd is its process.
# Without a namespace: as root of a container it may make none.
qemu_virtiofsd() {
	local i
	/usr/lib/qemu/virtiofsd --socket-path="$1" -o source="$(realpath "$3")" -o sandbox=chroot -o cache=always -f >"$2" 2>&1 </dev/null 8>&- &
	virtiofsd=$!
	for ((i = 0; i < 100; i++)); do
		[ ! -S "$1" ] || return 0
		kill -0 "$virtiofsd" || break
		sleep 0.1
	done
	cat "$2"
	return 1
}

# qemu_share DISK SOCKET LOG: adds what shares the directory to the array `disks`.
qemu_share() {
	local kind=${1%%:*} rest=${1#*:}
	local tag=${rest%%:*} dir=${rest#*:}
	if [ "$kind" = 9p ]; then
		disks+=(-fsdev "local,id=share-$tag,path=$dir,security_model=none,readonly=on"
			-device "virtio-9p-pci,fsdev=share-$tag,mount_tag=$tag")
		return
	fi
	qemu_virtiofsd "$2" "$3" "$dir" || return
	# The daemon reads and writes the guest's memory.
	disks+=(-object "memory-backend-memfd,id=shared,size=${qemu_memory}M,share=on" -machine memory-backend=shared
		-chardev "socket,id=share-$tag,path=$2" -device "vhost-user-fs-pci,chardev=share-$tag,tag=$tag")
}

# qemu_run NAME SECONDS [DISK...]: with the array qemu_start, which says what is started and how.
qemu_run() {
	local name=$1 limit=$2 base=$qemu_dir/$1 disk pid status end= start virtiofsd=
	local -a disks=() restarts=(-no-reboot)
	shift 2
	[ -z "${qemu_restarts:-}" ] || restarts=()
	rm -f "$base".{console,results,events,end,seconds,socket}
	: >"$base.console"
	for disk; do
		if [[ $disk == 9p:* || $disk == virtiofs:* ]]; then
			qemu_share "$disk" "$base.socket" "$base.virtiofsd" && continue
			echo "failed: $disk is not shared" >"$base.end"
			return 1
		fi
		disks+=(-drive "if=none,id=disk${#disks[@]},format=raw,file=${disk%:rw},readonly=$([[ $disk == *:rw ]] && echo off || echo on)"
			-device "virtio-blk-pci,drive=disk${#disks[@]}")
	done
	start=$(date +%s%N)
	qemu-system-x86_64 -accel tcg -cpu qemu64 -m "$qemu_memory" -smp 1 \
		-nodefaults -no-user-config -display none "${restarts[@]}" "${qemu_start[@]}" \
		${qemu_extra[@]+"${qemu_extra[@]}"} \
		-serial "file:$base.console" -serial "file:$base.results" \
		-device virtio-rng-pci "${disks[@]}" \
		-trace qemu_system_shutdown_request -D "$base.events" </dev/null >"$base.qemu" 2>&1 8>&- &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		if grep -q 'reboot: System halted' "$base.console"; then
			end=halt
		elif grep -q 'BdsDxe: No bootable option or device was found' "$base.console"; then
			end=firmware
		elif [ $(($(date +%s%N) - start)) -gt $((limit * 1000000000)) ]; then
			end=limit
		else
			sleep 0.1
			continue
		fi
		kill -KILL "$pid"
		break
	done
	wait "$pid" 2>/dev/null
	status=$?
	[ -z "$virtiofsd" ] || kill "$virtiofsd" 2>/dev/null
	echo "${end:-$(qemu_end "$base" $status)}" >"$base.end"
	awk -v ns=$(($(date +%s%N) - start)) 'BEGIN {printf "%.1f\n", ns / 1e9}' >"$base.seconds"
}

# no_timer_check: on a busy machine the emulated timer is late, which the kernel takes for a broken one.
# The other two: the kernel need not test its own ciphers, nor name its traces' enums; that is a quarter of a boot.
qemu_cmdline="console=ttyS0 panic=-1 no_timer_check cryptomgr.notests initcall_blacklist=trace_eval_init"

# qemu_uncompress KERNEL FOLDER: the kernel inside a bzImage, as its header says (Documentation/arch/x86/boot.rst), to
# FOLDER/vmlinux; or all of it, where it is not one that can be started so (PVH: a note of Xen's, number 18). The
# payload ends in four bytes of size.
qemu_uncompress() {
	local kernel=$1 folder=$2 setup offset length program=
	number() { od -An -t "u$2" -j "$1" -N "$2" "$kernel" | tr -d ' '; }
	setup=$(number 497 1) offset=$(number 584 4) length=$(number 588 4)
	mkdir "$folder" || return 1
	tail -c +$(((setup + 1) * 512 + offset + 1)) "$kernel" | head -c $((length - 4)) >"$folder/payload"
	case $(od -An -tx1 -N 4 "$folder/payload" | tr -d ' ') in
	28b52ffd) program=zstd ;;
	fd377a58) program=xz ;;
	1f8b*) program=gzip ;;
	esac
	${program:-cat} ${program:+-dc} <"$folder/payload" >"$folder/vmlinux" && rm "$folder/payload" || return 1
	readelf -n "$folder/vmlinux" 2>/dev/null | grep -qi '^ *Xen .*(0x0*12)$' || cp "$kernel" "$folder/vmlinux"
}

# To emulate a kernel that uncompresses itself takes a third of its start. Those that firmware starts do it.
qemu_kernel() {
	local folder
	folder=$(cache_build vmlinux "$(sha256sum <"$1" | cut -c 1-16)" qemu_uncompress "$1") && echo "$folder/vmlinux"
}

qemu_boot() {
	local name=$1 kernel initrd=$3 cmdline=$4 limit=${5:-120}
	kernel=$(qemu_kernel "$2") || return 1
	# Without the SATA controller the kernel need not wait for its empty ports.
	local -a qemu_start=(-machine "q35,sata=off"
		-kernel "$kernel" -initrd "$initrd" -append "$qemu_cmdline $cmdline")
	shift $(($# < 5 ? $# : 5))
	mkdir -p "$qemu_dir"
	(
		qemu_take_slot
		qemu_run "$name" "$limit" "$@"
	)
}

snakeoil=/usr/share/ovmf/PkKek-1-snakeoil

# The variables are a copy of $qemu_vars: the firmware writes to them. QEMU shows the folder as a FAT disk,
# behind the others. Firmware and stub talk on every serial port: of the results that is removed.
qemu_vars=/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd
qemu_boot_firmware() {
	local name=$1 esp=$2 limit=${3:-120}
	shift $(($# < 3 ? $# : 3))
	qemu_firmware "$name" "$limit" -drive "if=none,id=esp,format=raw,readonly=on,file=fat:$esp" \
		-device "virtio-blk-pci,drive=esp,bootindex=1,addr=0x1e" -- "$@"
}

# On the bus virtio or nvme, with sectors of so many bytes.
qemu_boot_disk() {
	local name=$1 disk=$2 bus=$3 sector=$4 limit=${5:-120} device=virtio-blk-pci
	shift $(($# < 5 ? $# : 5))
	[ "$bus" = virtio ] || device=nvme,serial=underlay
	qemu_firmware "$name" "$limit" -drive "if=none,id=whole,format=raw,file=$disk" \
		-device "$device,drive=whole,bootindex=1,logical_block_size=$sector,physical_block_size=$sector" -- "$@"
}

# qemu_firmware NAME SECONDS ARGUMENT... -- [DISK...]: with the arguments, which say what is started.
qemu_firmware() {
	local name=$1 limit=$2 vars=$qemu_dir/$1.vars
	local -a qemu_start=(-machine "q35,sata=off,smm=on"
		-global driver=cfi.pflash01,property=secure,value=on
		-drive "if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
		-drive "if=pflash,format=raw,unit=1,file=$vars")
	shift 2
	while [ "$1" != -- ]; do
		qemu_start+=("$1")
		shift
	done
	shift
	mkdir -p "$qemu_dir"
	cp "$qemu_vars" "$vars"
	(
		qemu_take_slot
		qemu_run "$name" "$limit" "$@"
	)
	rm -f "$vars"
	sed -i '/BdsDxe: /d; /EFI stub: /d' "$qemu_dir/$name.results"
}

# qemu_show NAME: what to look at after a failure.
qemu_show() {
	local base=$qemu_dir/$1
	echo "# $1 ended by: $(cat "$base.end") after $(cat "$base.seconds") s; $base.console ends:"
	tail -n 40 "$base.console" | tr -d '\r' | sed 's/^/#   /'
	sed 's/^/#   QEMU: /' "$base.qemu"
	if [ -s "$base.results" ]; then
		echo "# $base.results ends:"
		tail -n 20 "$base.results" | sed 's/^/#   /'
	fi
}

guest_block() {
	sed -n "/^begin $2\$/,/^end $2\$/p" "$qemu_dir/$1.results" | sed '1d;$d'
}

guest_says() {
	sed -n "s/^say $2 //p" "$qemu_dir/$1.results"
}

guest_found() {
	sed -n -e "s/^\(ok\|not ok\) - /\1 - ${2:-$1}: /p" -e '/^#/p' "$qemu_dir/$1.results" | tap_lines
	lacks -q '^not ok' "$qemu_dir/$1.results" || touch "$tap_dir/failed"
}

guest_checks() {
	guest_found "$1"
	tap_is "$1: the scenario ran to its end, and the machine powered off" \
		"$(tail -n 1 "$qemu_dir/$1.results"), $(cat "$qemu_dir/$1.end")" "end $2 0, poweroff"
	[ "$(cat "$qemu_dir/$1.end")" = poweroff ] || qemu_show "$1"
}
