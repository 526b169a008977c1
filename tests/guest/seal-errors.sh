# The sealed image's disk errs, or is slow. The rest runs from memory: programs of the store would meet the errors
# themselves. /data/record has what is sealed.
mkdir -p /tmp/bin
cp "$system/bin/busybox" /tmp/busybox
/tmp/busybox --install -s /tmp/bin
cat "$system/scenarios/lib.sh" /data/seal-errors-rounds.sh >/tmp/rounds.sh
echo "scenario=$scenario" >/tmp/scenario
trap - EXIT
exec /tmp/busybox sh /tmp/rounds.sh
