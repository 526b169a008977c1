# What seal-errors.sh goes on with; the command line says in which way (errors=boot, running or slow) and how often
# (rounds=N).
PATH=/tmp/bin
. /tmp/scenario
for word in $(cat /proc/cmdline); do
	case $word in
	errors=* | rounds=*) eval "$word" ;;
	esac
done
finish() {
	echo "end $scenario $1" >&3
	sync
	poweroff -f
}
trap 'finish $?' EXIT
attack() {
	/data/lib/ld-linux-x86-64.so.2 --library-path /data/lib /data/upper_attack "$@"
}

# Each answer is an error or what is sealed; the errors are counted, and whatever is neither is said.
errors_seen=0 looks=0 erred=0
look() {
	looks=$((looks + 1))
	attack look "$1" /nix/store >/tmp/look 2>&1 || sed 's/^/say unsealed /' /tmp/look >&3
	n=$(sed -n 's/.* looked at, \([0-9]*\) errors, .*/\1/p' /tmp/look)
	[ -n "$n" ] || { say unsealed "no answer: $(cat /tmp/look)" && n=1; }
	errors_seen=$((errors_seen + n))
	[ "$n" = 0 ] || erred=$((erred + 1))
}
# Without any error: now, or when it was tried again, for the disk errs once.
right() {
	tries=0
	until attack look "$1" /nix/store strict >/tmp/look 2>&1; do
		tries=$((tries + 1))
		grep -q ' 0 not sealed$' /tmp/look && [ $tries -lt "$2" ] || {
			sed 's/^/say unsealed /' /tmp/look >&3
			return 1
		}
	done
}
drop() {
	echo 3 >/proc/sys/vm/drop_caches
}

boot() {
	look /data/record
	check "what was looked at again is what is sealed" right /data/record 300
}

# A write to a sector that belongs to nothing is what the disk waits for: it errs once, at the next block of its list.
running() {
	failed=0 again=0
	for round in $(seq "$rounds"); do
		drop
		dd if=/dev/zero of=/dev/vda bs=512 seek=64 count=1 conv=notrunc,fsync 2>/dev/null
		look /data/record
		right /data/record 1 || failed=$((failed + 1))
	done
	say rounds "$rounds failed $failed"
	check "after each error the second look is right" test $failed = 0 -a "$rounds" -gt 0
}

# Readers that are killed while they wait: a look that is not at its end must leave nothing behind.
slow() {
	names=$(sed -n 's/^\([^ /]*\) .*/\1/p' /data/record.attacked)
	killed=0 failed=0
	for round in $(seq "$rounds"); do
		drop
		readers=
		for name in $names; do
			case $((round % 3)) in
			0) stat "/nix/store/$name/lib" >/dev/null 2>&1 & ;;
			1) ls -lR "/nix/store/$name" >/dev/null 2>&1 & ;;
			2) cat "/nix/store/$name" "/nix/store/$name"/lib/* >/dev/null 2>&1 & ;;
			esac
			readers="$readers $!"
		done
		usleep $((round * 37 % 200 * 1000))
		for reader in $readers; do
			kill -9 "$reader" 2>/dev/null && killed=$((killed + 1))
		done
		wait
		look /data/record.attacked
		right /data/record.attacked 1 || failed=$((failed + 1))
	done
	say rounds "$rounds killed $killed failed $failed"
	check "readers were killed" test $killed -gt $((rounds * 3))
	check "after each round all is as sealed" test $failed = 0
}

check "what is sealed is known" test "$(wc -l </data/record)" -gt 100 -a -s /data/record.attacked
beneath=0
for name in $(sed -n 's/^\([^ /]*\) .*/\1/p' /data/record.attacked); do
	[ ! -e "/nix/.rw/kept/$name" ] && [ ! -L "/nix/.rw/kept/$name" ] || beneath=$((beneath + 1))
done
check "the attacks lie beneath ($beneath)" test $beneath -ge 20
$errors
say looks "$looks with $errors_seen errors"
say erred "$erred"
check "all that is sealed, in the end" attack compare /nix/.ro/nix/store /nix/store /nix/.rw/kept
exit 0
