# Debian trixie's systemd-sysupdate over a disk's file. To be sourced after cache.sh.
#
#   sysupdate DISK DIR WHERE [ARGUMENT]...   in its tree, with the files of DIR at /mnt, and the disk as a loop device
#
# Transfer files name the device /dev/loop-underlay and the source /mnt; WHERE stands for the EFI system partition.

sysupdate() {
	local disk=$1 files=$2 esp=$3 loop tree status
	shift 3
	tree=$(cache_tree trixie) && loop=$(losetup --find --show "$disk") || return
	mkdir -p "$esp"
	sed -i "s|^Path=/dev/loop.*|Path=$loop|" "$files"/sysupdate.d/*.transfer
	in_tree -b "$files:/mnt" -b "$(realpath "$esp"):/srv" "$tree" env SYSTEMD_RELAX_ESP_CHECKS=1 SYSTEMD_ESP_PATH=/srv \
		/usr/lib/systemd/systemd-sysupdate --definitions=/mnt/sysupdate.d --verify=no "$@"
	status=$?
	losetup -d "$loop"
	return $status
}
