# systemd 257, from the second disk, opens the image that this machine was booted from (given once more, as the
# third, because a disk in use is not opened twice), by a policy that takes nothing unsigned and the certificate
# in its /etc/verity.d. For a usr image it wants root hash and signature in files beside the image: they are
# what the image's own signature partition has.
mkdir -p /tools /tmp/mounted
mount -t erofs -o ro /dev/vdb /tools
for dir in proc sys dev run tmp; do
	mount --rbind /$dir /tools/$dir
done

tr -d '\0' </dev/vdc3 | sed 's/"underlay".*//' >/tmp/signature.json
member() {
	sed "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/" /tmp/signature.json
}
member rootHash >/tmp/image.usrhash
member signature | base64 -d >/tmp/image.usrhash.p7s
# The disk under a name for which systemd looks for these files.
mknod /tmp/image.raw b $(tr : ' ' </sys/class/block/vdc/dev)
dissect() {
	chroot /tools /usr/bin/env SYSTEMD_LOG_LEVEL=debug PATH=/usr/sbin:/usr/bin systemd-dissect \
		--image-policy=usr=signed --mount --read-only /tmp/image.raw /tmp/mounted
}
check "systemd-dissect verifies and mounts it" dissect
check "the store is in what it mounted" test -x "/tools/tmp/mounted/usr$system/init"
device=$(awk '$5 == "/tools/tmp/mounted/usr" {print $3}' /proc/self/mountinfo)
check "it is a dm-verity device that it mounted" grep -q '^CRYPT-VERITY-' "/sys/dev/block/$device/dm/uuid"
umount -R /tools/tmp/mounted

# So that the above shows something: a signature of other bytes is refused.
refuses() {
	echo other >/tmp/image.usrhash.p7s
	if dissect; then return 1; fi
}
check "systemd-dissect does not mount it by another signature" refuses
