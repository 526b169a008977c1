# The machine writes the next release into its other slot, while it runs from the first; and cannot write the one that
# it runs from. $next: the image's file, $slot: the data partition that it has to get, $runs: that of what runs.
cert="--cert /data/signer.crt"
check "the slot that runs is refused" fails 1 "$runs: it runs" /data/underlay update "/data/$next" $cert --allow-older --slot "$runs"
check "trying it out finds the other slot" grep -q "would go into the slot of partition $slot," <<END
$(/data/underlay update "/data/$next" $cert --allow-older --dry-run)
END
/data/underlay update "/data/$next" $cert --allow-older --uki /data/next.efi >/tmp/updated 2>&1
check "it is written, with its UKI" test $? = 0
block updated </tmp/updated
check "it is in that slot" grep -q "is in the slot of partition $slot," /tmp/updated
check "once more is nothing to do" grep -q "is there already, in the slot of partition $slot" <<END
$(/data/underlay update "/data/$next" $cert --allow-older)
END
check "the disk's images verify" /data/underlay image verify /dev/vda --cert /data/signer.crt --seal-only
check "so does what runs" verify_all --check-contents
