# What the disk's writer could reach: nothing that is sealed (sealed.sh). The command line says what else is done
# (attacked=WORD,WORD):
#   changed   200 names come and go, and all is compared again; then caches are dropped, and again
#   builder   a build, as the build user that Nix gives it, tries to reach beneath the overlay
#   optimise  Nix links what is equal
#   again     an earlier boot did the former; what it added is still there
run_attack() {
	/data/lib/ld-linux-x86-64.so.2 --library-path /data/lib /data/upper_attack "$@"
}
sealed=$(sed -n 's/^[^ ]* \/nix\/store overlay [^ ]*lowerdir=\([^:,]*\).*/\1/p' /proc/mounts)
asked() {
	grep -q "attacked=[a-z,]*$1" /proc/cmdline
}

# First of all, before anything else has: the names that the disk's writer left are looked at, and the sealed ones, by
# a listing and one by one.
ls -laR /nix/store >/tmp/listed 2>&1
check "the names that lie on the disk are looked at first" run_attack touch /nix/.rw/kept /nix/store
(cd /nix/store && xargs -0 stat </data/sealed.names >/tmp/stat && cat /nix/store/*.service >/dev/null)
check "and every sealed name" test "$(grep -c '^ *File: ' /tmp/stat)" = "$(tr -dc '\0' </data/sealed.names | wc -c)"
beneath=0
for name in $(tr '\0' ' ' </data/sealed.names); do
	[ ! -e "/nix/.rw/kept/$name" ] && [ ! -L "/nix/.rw/kept/$name" ] || beneath=$((beneath + 1))
done
say beneath $beneath
say aliases $(ls /nix/.rw/kept | grep -c '^zzz.*-alias$')
check "there is something sealed" test -n "$sealed" -a -d "$sealed"

# same WHEN [any-mode]: every sealed path: listed once, its type, mode, bytes and names as in the sealed filesystem.
same() {
	check "$1: every sealed path is what is sealed" run_attack compare "$sealed" /nix/store /nix/.rw/kept $2
	sed -n 's/^# differs:/say differs/p' /tmp/check.log >&3
}

tell_boot
sealed_unchanged
same "at first"
check "every sealed path is valid" nix-store --check-validity $(lower_paths)
nix-store --dump-db $(lower_paths) | block sealed-rows
check "nothing of the upper is a device or runs as another user" \
	grep -Eq '^[^ ]+ /nix/store overlay rw,nosuid,nodev' /proc/mounts
# Nothing that this boot made has a sealed name; what earlier ones left may have any.
check "nobody but root reaches the layers" test "$(stat -c '%a %u %g' /nix/.rw)" = "700 0 0"
set -- /nix/.rw/sessions/*/up
check "there is one session" test $# = 1 -a -d "$1"
session=$1
shadows() {
	for name in $(ls -A "$session"); do
		[ "$name" = .links ] || [ ! -e "$sealed/$name" ] || say shadows "$name"
	done
}
check "its names are looked at" cd "$session"
cd /
shadows

# 200 names come: 50 of Nix, 75 files, 75 directories; half of them go again, and so do the disk writer's own.
change() {
	mkdir /tmp/new
	for i in $(seq 50); do echo "$i" >/tmp/new/added$i; done
	nix-store --add /tmp/new/* >/tmp/added || return 1
	for i in $(seq 75); do
		own=$(printf %032d $i)
		echo "$i" >/nix/store/$own-file
		mkdir -p /nix/store/$own-directory/lib
		echo "$i" >/nix/store/$own-directory/lib/file
	done
	nix-store --delete $(head -n 25 /tmp/added) >/tmp/deleted 2>&1 || { cat /tmp/deleted && return 1; }
	for i in $(seq 38); do
		own=$(printf %032d $i)
		rm -r /nix/store/$own-file /nix/store/$own-directory || return 1
	done
	for own in $(ls /nix/.rw/kept); do
		[ -e "$sealed/$own" ] || [ -d "/nix/store/$own" ] || [ "${own%-alias}" != "$own" ] || rm -f "/nix/store/$own"
	done
	test "$(ls /nix/store | grep -c '^000[0-9]*-\(file\|directory\)$')" = 74 && test "$(wc -l </tmp/added)" = 50 &&
		nix-store --check-validity $(tail -n 25 /tmp/added)
}
check "the upper takes a new path" sh -c 'made=$(nix-store --add /proc/version) && nix-store --check-validity "$made"'
if asked changed; then
	check "200 names come, and half of them go" change
	same "after these"
	sync
	echo 3 >/proc/sys/vm/drop_caches
	same "after caches were dropped"
	run_attack touch /nix/.rw/kept /nix/store
	shadows
fi

# The build says what it could do; what it tries is made from the sealed names, which it may list.
build_as_user() {
	printf 'root:x:0:0::/root:/bin/sh\nnixbld1:x:30001:30000::/:/bin/sh\n' >/etc/passwd
	printf 'root:x:0:\nnixbld:x:30000:nixbld1\n' >/etc/group
	cat >/tmp/beneath.sh <<-'END'
		PATH=$busybox/bin
		say() { busybox echo "$@" >>$out; }
		say "$(busybox id -u) $(busybox id -g)"
		name=$(busybox basename $busybox)
		for layer in /nix/.rw /nix/.rw/kept /nix/.rw/sessions/* /nix/.rw/sessions/*/up /nix/.rw/work /nix/.ro/nix/store /nix/.names; do
			busybox ls "$layer" >/dev/null 2>&1 && [ "${layer#/nix/.ro}" = "$layer" ] && say "lists $layer"
			busybox mkdir "$layer/$name" 2>/dev/null && say "makes $layer/$name"
			echo bad 2>/dev/null >"$layer/bad" && say "writes $layer/bad"
			busybox mkdir "$layer/up" 2>/dev/null && say "makes $layer/up"
		done
		echo bad 2>/dev/null >$busybox/bad && say "writes into the sealed path"
		echo bad 2>/dev/null >$busybox/bin/busybox && say "writes a sealed file"
		busybox rm -rf $busybox 2>/dev/null && say "removes the sealed path"
		busybox mv $busybox /nix/store/moved 2>/dev/null && say "moves the sealed path"
		busybox mkdir $busybox 2>/dev/null && say "makes the sealed path"
		busybox setfattr -n user.overlay.opaque -v y $busybox 2>/dev/null && say "marks the sealed path"
		say end
	END
	cat >/tmp/beneath.nix <<-END
		let busybox = builtins.storePath "$busybox"; in derivation {
		  name = "beneath";
		  system = "x86_64-linux";
		  inherit busybox;
		  builder = "\${busybox}/bin/busybox";
		  args = [ "sh" ./beneath.sh ];
		}
	END
	nix-build --option build-users-group nixbld --option sandbox false --no-out-link /tmp/beneath.nix
}
if asked builder; then
	built=$(build_as_user 2>/tmp/built)
	sed 's/^/# /' /tmp/built | tail -n 5 >&3
	cat "$built" | block builder
	check "a build user reaches nothing beneath the overlay" test "$(cat "$built")" = "30001 30000
end"
	same "after a build of a user"
fi
if asked optimise; then
	nix-store --optimise >/tmp/optimised 2>&1
	say optimised $? "$(tail -n 1 /tmp/optimised)"
	same "after Nix linked what is equal" any-mode # it fills .links
fi
if [ -e /nix/var/hot.sqlite ]; then
	check "a database with a hot journal is opened" sqlite3 /nix/var/hot.sqlite 'select count(*) from t'
	sync
	echo 3 >/proc/sys/vm/drop_caches
	same "after a database's hot journal was written"
fi
if asked again; then
	check "what Nix added in the boot before is there" test "$(ls /nix/store | grep -c -- '-added[0-9]*$')" = 25
	check "and valid" nix-store --check-validity /nix/store/*-added*
fi
ls -la /nix/.rw | block upper
