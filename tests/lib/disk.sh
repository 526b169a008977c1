# A whole disk's file, its parts, and an image put into a slot by hand, as any updater may. To be sourced.
#
#   disk_part DISK N FIELD             start, size (in sectors of 512 bytes), name, uuid of a partition
#   disk_install DISK N IMAGE          the image's three partitions into the slot whose data partition is number N
#   disk_wipe DISK N                   zeros over a partition

disk_part() {
	sfdisk --json "$1" | jq -r --argjson n "$2" ".partitiontable.partitions[\$n - 1].$3"
}

disk_install() {
	local disk=$1 n=$2 image=$3 k offset size
	for k in 0 1 2; do
		offset=$(disk_part "$image" $((k + 1)) start) && size=$(disk_part "$image" $((k + 1)) size) &&
			dd if="$image" of="$disk" bs=512 skip="$offset" count="$size" seek="$(disk_part "$disk" $((n + k)) start)" \
				conv=notrunc status=none &&
			sfdisk -q --part-uuid "$disk" $((n + k)) "$(disk_part "$image" $((k + 1)) uuid)" &&
			sfdisk -q --part-label "$disk" $((n + k)) "$(disk_part "$image" $((k + 1)) name)" || return
	done
}

disk_wipe() {
	dd if=/dev/zero of="$1" bs=512 seek="$(disk_part "$1" "$2" start)" count="$(disk_part "$1" "$2" size)" \
		conv=notrunc status=none
}
