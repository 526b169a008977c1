# What runs is on the last disk: a test that changes needs no new store.
mkdir -p /data
mount -t erofs -o ro "$(ls /dev/vd? | tail -n 1)" /data
. /data/scenario.sh
