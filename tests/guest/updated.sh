# After an update: the release before is in its slot still, $slot; what runs, of $runs, is as little written as ever.
cert="--cert /data/signer.crt"
check "the slot that runs is refused" fails 1 "$runs: it runs" /data/underlay update "/data/$next" $cert --allow-older --slot "$runs"
check "the release before is there" grep -q "is there already, in the slot of partition $slot" <<END
$(/data/underlay update "/data/$next" $cert)
END
check "so is its UKI, and the other one" test "$(/data/underlay update "/data/$next" $cert --uki /data/next.efi --tries 2 --json |
	sed -n 's/.*"removedUkis":\[/&/p; s/^ *"appliance_1.0+.*/counted/p' | tr -d ' \n')" = '"removedUkis":[counted'
check "the disk's images verify" /data/underlay image verify /dev/vda --cert /data/signer.crt --seal-only
check "so does what runs" verify_all --check-contents
