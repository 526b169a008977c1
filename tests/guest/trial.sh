# One start of a machine with releases 1 and 2: release 2 does what $bad says.
version=$(sed -n 's/.*"version": *"\([^"]*\)".*/\1/p' /run/underlay/state.json | head -n 1)
say started "$version"
block "state-$version" </run/underlay/state.json
case $version:$bad in
2.0:panic) echo c >/proc/sysrq-trigger ;;
2.0:hang) while :; do sleep 1000; done ;;
2.0:never) echo b >/proc/sysrq-trigger ;;
2.0:none) ;;
2.0:back)
	check "release 2 is marked good" grep -qx "appliance 2.0 is good" <<END
$(/data/underlay mark-good)
END
	check "marked again is as good" grep -qx "appliance 2.0 is good already" <<END
$(/data/underlay mark-good)
END
	check "it goes back by command" grep -q "the next boot starts appliance 1.0" <<END
$(/data/underlay rollback)
END
	check "and cannot be marked good then" grep -q "was taken back by command, and stays so" <<END
$(/data/underlay mark-good)
END
	;;
*) check "what came up is marked good" /data/underlay mark-good ;;
esac
/data/underlay slots | block "slots-$version"
/data/underlay status | block "status-$version"
