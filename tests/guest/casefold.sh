# The disk that the boot did not take mounts well; but it cannot be the upper of an overlay.
upper=$(findfs PARTLABEL=upper 2>/dev/null || for name in /sys/class/block/*; do
	grep -qx PARTNAME=upper "$name/uevent" && echo "/dev/${name##*/}"
done)
mkdir -p /tmp/disk
check "the disk's filesystem mounts" mount -t ext4 "$upper" /tmp/disk
mkdir -p /tmp/disk/store /tmp/disk/work /tmp/lower /tmp/overlay
overlay() {
	mount -t overlay overlay -o "lowerdir=/tmp/lower,upperdir=$1/store,workdir=$1/work" /tmp/overlay
}
# The same command works below, over another filesystem.
refused() {
	if overlay "$1"; then return 1; fi
}
check "the kernel lays no overlay over it" refused /tmp/disk
mkdir -p /tmp/other && mount -t tmpfs tmpfs /tmp/other && mkdir /tmp/other/store /tmp/other/work
check "and the same over a tmpfs" overlay /tmp/other
