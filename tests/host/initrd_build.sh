#!/usr/bin/env bash
# The initramfs of both kernels' real module trees: what it holds, that its program finds its libraries, that
# libkmod finds in it what depmod's own indexes say, that two builds are one, and what is refused.
cd "$(dirname "$0")/../.." || exit 1
for lib in tap cache; do
	. "tests/lib/$lib.sh"
done
underlay=${underlay:-build/underlay}
init=${underlay%/*}/underlay-init
work=$(mktemp -d)
tap_at_exit 'rm -rf "$work"'

# The init and the compression where the test gives none.
build() {
	local words=" $* "
	[[ $words == *" --init "* ]] || set -- --init "$init" "$@"
	[[ $words == *" --compress "* ]] || set -- --compress zstd,1 "$@"
	"$underlay" initrd build "$@"
}

unpack() {
	mkdir -p "$2" && zstd -dcq "$1" | (cd "$2" && cpio -idm --quiet --no-absolute-filenames)
}

said() {
	cat "$work/said"
	grep -qE "$1" "$work/said"
}

# refused NAME STATUS SENTENCE ARGUMENT...: the status, the words, and the output left as it was.
refused() {
	local name=$1 status=$2 sentence=$3 got
	shift 3
	echo before >"$work/kept"
	build -o "$work/kept" "$@" >"$work/said" 2>&1
	got=$?
	tap_is "$name: exit status" "$got" "$status"
	tap "$name: says so" said "$sentence"
	tap_is "$name: the output is as it was" "$(ls "$work"/kept*; cat "$work/kept")" "$work/kept
before"
}

printf '[image]\nname = test\n' >"$work/underlay.conf"
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=test -keyout "$work/test.key" -out "$work/test.pem" \
	2>/dev/null
options=(--config "$work/underlay.conf" --cert "$work/test.pem")

for kernel in 6.1 6.12; do
	modules=$(cache_modules $kernel) || { echo "not ok - the modules of kernel $kernel are there" && exit 1; }
	version=$(basename "$modules")
	root=$work/$kernel
	tap "$kernel: is built" build -o "$work/$kernel.img" "${options[@]}" --modules-dir "$modules"
	tap "$kernel: unpacks" unpack "$work/$kernel.img" "$root"

	# Another time zone, umask, directory, order of options, and a tree at another path.
	ln -s "$modules" "$work/tree-$kernel"
	(cd / && umask 077 && TZ=Asia/Tokyo "$OLDPWD/$underlay" initrd build --modules-dir "$work/tree-$kernel" \
		--cert "$work/test.pem" --compress zstd,1 --config "$work/underlay.conf" --init "$OLDPWD/$init" \
		-o "$work/again.img" >/dev/null)
	tap "$kernel: two builds are one" cmp "$work/$kernel.img" "$work/again.img"

	zstd -dcq "$work/$kernel.img" | cpio -tv --quiet >"$work/list" 2>/dev/null
	tap "$kernel: /dev/console is a node of its own" \
		grep -qE '^crw------- +1 root +root +5, +1 Jan +1 +1970 dev/console$' "$work/list"
	tap "$kernel: all is root's, of the epoch" \
		test "$(awk '{ print $3, $4 }' "$work/list" | sort -u)" = "root root"
	tap "$kernel: the policy" cmp "$work/underlay.conf" "$root/etc/underlay/underlay.conf"
	tap "$kernel: the certificate has the ending that is read" cmp "$work/test.pem" "$root/etc/verity.d/test.crt"
	tap_is "$kernel: what every boot loads" "$(cat "$root/etc/underlay/modules")" $'dm_verity\noverlay'

	# Exactly the packed libraries: nothing of this machine is visible below the new root.
	tap "$kernel: /init runs" chroot "$root" /init --version
	tap_is "$kernel: /init is this version" "$(chroot "$root" /init --version)" "$("$init" --version)"

	# What libkmod makes of our indexes, and of depmod's over the whole tree.
	mkdir -p "$work/whole/lib/modules"
	cp -rs "$modules" "$work/whole/lib/modules/"
	depmod -b "$work/whole" "$version"
	find "$root/lib/modules" -name '*.ko' -printf '%f\n' >"$work/modules"
	tap "$kernel: there are modules" test "$(wc -l <"$work/modules")" -gt 5
	while read -r module; do
		name=${module%.ko}
		for tree in "$root" "$work/whole"; do
			modprobe -d "$tree" -S "$version" --ignore-install --show-depends "$name" |
				sed -E "s|$tree||; s/\.ko\.[a-z]*/.ko/"
		done >"$work/depends"
		lines=$(($(wc -l <"$work/depends") / 2))
		[ "$lines" -gt 0 ] || echo "modprobe knows nothing of $name"
		same_output 'head -n $lines "$work/depends" | sort' 'tail -n $lines "$work/depends" | sort'
	done <"$work/modules" >"$work/differences" 2>&1
	tap_none "$kernel: dependencies are depmod's" cat "$work/differences"
	tap_is "$kernel: the filesystems of a lower that this kernel has as modules are packed" \
		"$(cd "$root" && find lib/modules -name erofs.ko -o -name squashfs.ko | sort)" \
		"lib/modules/$version/kernel/fs/erofs/erofs.ko
lib/modules/$version/kernel/fs/squashfs/squashfs.ko"
	tap_is "$kernel: a virtio disk finds its driver" \
		"$(modprobe -d "$root" -S "$version" -R virtio:d00000002v00001AF4)" virtio_blk
	tap "$kernel: a network card finds none" \
		fails 1 'Module virtio:d00000001v00001AF4 not found' modprobe -d "$root" -S "$version" -R virtio:d00000001v00001AF4
	tap_is "$kernel: ext4 is known to be built in" \
		"$(modprobe -d "$root" -S "$version" --show-depends ext4)" "builtin ext4"
	tap "$kernel: modules are uncompressed and still signed" bash -c "
		take_lines modules find '$root/lib/modules' -name '*.ko' || exit 1
		for m in \"\${modules[@]}\"; do
			tail -c 28 \"\$m\" | grep -qa 'Module signature appended' || exit 1
		done"
done

"$underlay" initrd build --init "$init" -o "$work/default.img" "${options[@]}" --modules-dir "$modules" --json \
	>"$work/json"
tap_is "the default compression" $? 0
tap_is "the summary tells the size" "$(jq .bytes "$work/json")" "$(stat -c %s "$work/default.img")"
tap_is "the summary tells the kernel" "$(jq -r .kernel "$work/json")" "$(basename "$modules")"
tap "less than 6.5 MB" test "$(stat -c %s "$work/default.img")" -lt 6500000
tap "a window that any kernel's decoder has memory for" \
	bash -c "zstd -lv '$work/default.img' | grep -qE 'Window Size: 8\.00 MiB'"
tap "the same content at any level" \
	same_output "zstd -dcq '$work/default.img'" "zstd -dcq '$work/6.12.img'"
tap "without compression" build -o "$work/none.img" "${options[@]}" --modules-dir "$modules" --compress none
tap "the plain archive is what the other holds" same_output "cat '$work/none.img'" "zstd -dcq '$work/default.img'"

# A module of one's own choice, a list instead of the default one, and another program with its libraries.
printf '# of the test\noverlay\nerofs name\nvirtio_blk alias\ndm-verity\n' >"$work/list"
tap "a list of one's own" build -o "$work/own.img" --modules-dir "$modules" --modules-list "$work/list" \
	--module loop --add "$(command -v bash):/bin/bash"
unpack "$work/own.img" "$work/own"
tap_is "what it loads, in its order" "$(cat "$work/own/etc/underlay/modules")" $'overlay\ndm_verity\nloop'
tap_is "what it packs" "$(find "$work/own/lib/modules" -name '*.ko' -printf '%f\n' | sort | tr '\n' ' ')" \
	"$(printf '%s\n' dm-bufio.ko dm-mod.ko dm-verity.ko erofs.ko libcrc32c.ko loop.ko overlay.ko \
		reed_solomon.ko virtio_blk.ko | sort | tr '\n' ' ')"
tap_is "an added program finds its libraries" "$(chroot "$work/own" /bin/bash -c 'echo $((6 * 7))')" 42
tap "without modules" build -o "$work/bare.img" --no-modules
unpack "$work/bare.img" "$work/bare"
tap_is "the list of modules is empty then" "$(wc -c <"$work/bare/etc/underlay/modules")" 0

# What the policy's upper needs: its filesystem's module, mkfs and fsck, each with its libraries.
printf '[upper]\ntype = disk\ndevice = PARTTYPE=var\nfilesystem = xfs ext4\nprepare = format\n' >"$work/upper.conf"
tap "a policy with a disk's upper" build -o "$work/upper.img" --config "$work/upper.conf" --modules-dir "$modules"
unpack "$work/upper.img" "$work/upper"
tap_is "its programs" "$(ls "$work/upper/sbin" | tr '\n' ' ')" "e2fsck mkfs.xfs "
tap "mkfs runs there" chroot "$work/upper" /sbin/mkfs.xfs -V
tap "fsck runs there" chroot "$work/upper" /sbin/e2fsck -V
tap "the module is there" bash -c "ls '$work/upper'/lib/modules/*/kernel/fs/xfs/xfs.ko"
tap_is "and what an ext4 with quotas asks for, which no dependency tells" \
	"$(cd "$work/upper" && find lib/modules -name 'quota_*.ko' -printf '%f\n' | sort | tr '\n' ' ')" "quota_tree.ko quota_v2.ko "
sed -i '/prepare/d; s/^filesystem.*/filesystem = ext4/' "$work/upper.conf"
build -o "$work/upper.img" --config "$work/upper.conf" --modules-dir "$modules" >/dev/null
rm -rf "$work/upper" && unpack "$work/upper.img" "$work/upper"
tap_is "no mkfs where nothing is formatted" "$(ls "$work/upper/sbin")" e2fsck

refused "module absent" 3 'no_such_module: .* has it neither as a module nor in modules.builtin; it is needed' \
	--modules-dir "$modules" --module no_such_module
printf '[modules]\nload = no_such_module\n' >"$work/wants.conf"
# A setting that nothing looks at is told of, and is no failure.
printf '[upper]\nlabel = mine\n' >"$work/idle.conf"
tap_is "a setting without effect" \
	"$(build -o "$work/idle.img" --config "$work/idle.conf" --cert "$work/test.pem" --no-modules 2>&1 >"$work/said")" \
	"underlay: notice: $work/idle.conf: [upper] label has no effect: it needs [upper] type = disk."

# What no boot could do is not packed; what another initramfs may bring is warned of.
printf '[verify]\nmode = pinned\n' >"$work/never.conf"
refused "pinned, and no pin can come" 1 'never.conf:2: mode = pinned, but there is no root-hash' --no-modules --config "$work/never.conf"
printf '[verify]\nmode = pinned\n[cmdline]\nallow = usrhash\n' >"$work/pinned.conf"
# warned SAYS ARGUMENT...: what the build says on standard error; SAYS may be empty.
warned() {
	local says=$1
	shift
	build -o "$work/cert.img" --no-modules "$@" 2>"$work/said" >/dev/null || return 1
	diff <(printf '%s' "${says:+$says$'\n'}") "$work/said"
}
tap "pinned by a command line that is still to come" warned "" --config "$work/pinned.conf"
printf '[cmdline]\nallow = underlay.dsks\n' >"$work/never.conf"
refused "a permission that cannot be given" 1 'never.conf:2: "underlay.dsks" cannot be allowed: .* Did you mean "underlay.disks"' \
	--no-modules --cert "$work/test.pem" --config "$work/never.conf"
printf '[image]\nname = a b\n' >"$work/never.conf"
refused "a name that no image has" 1 'never.conf:2: "a b" is not the name of any image' --no-modules --config "$work/never.conf"
without="underlay: warning: $work/cert.img holds no certificate, and its policy's [verify] mode starts no image without one."
without+=" Give --cert, unless another initramfs beside it brings one."
printf '[verify]\nmode = kernel\n' >"$work/kernel.conf"
tap "no policy and no certificate" warned "$without"
tap "a policy and no certificate" warned "$without" --config "$work/underlay.conf"
tap "a certificate of a name that the boot does not read" warned "$without" --add "$work/test.pem:/etc/verity.d/test.pem"
tap "a certificate that --add brings" warned "" --config "$work/underlay.conf" --add "$work/test.pem:/etc/verity.d/test.crt"
tap "a mode that asks for no certificate" warned "" --config "$work/kernel.conf"
tap "a policy that --add brings is not judged" warned "" --add "$work/kernel.conf:/etc/underlay/underlay.conf"

# What mounts the directory that a host shares; only a policy that says so has one.
printf '[verify]\nmode = insecure\n[lower]\nshare = virtiofs:store\n' >"$work/share.conf"
tap "a policy with a shared directory" build -o "$work/share.img" --config "$work/share.conf" \
	--modules-dir "$(cache_modules 6.1)" --json
build -o "$work/share.img" --config "$work/share.conf" --modules-dir "$(cache_modules 6.1)" --json >"$work/share.json" 2>"$work/said"
tap "and says that nothing is verified" said '^underlay: warning: .*/share.img verifies nothing of what it starts'
tap_is "its modules are there, and not loaded by every boot" \
	"$(jq -c '[.insecure, (.modules | contains(["virtiofs", "fuse"])), (.modulesAlways | contains(["virtiofs"]))]' "$work/share.json")" \
	'[true,true,false]'
printf '[verify]\nmode = insecure\n[lower]\nshare = 9p:store\n' >"$work/share.conf"
refused "9p in a kernel without it" 3 "9p.*needed because the policy's \[lower\] share is mounted by it" \
	--modules-dir "$(cache_modules 6.1)" --config "$work/share.conf"
printf '[lower]\nshare = 9p:store\n' >"$work/share.conf"
refused "a share where the policy verifies" 1 "share.conf:2: \[verify\] mode = user demands a lower that is verified, and nothing can verify a directory that the host shares. Set \[verify\] mode = insecure" \
	--no-modules --config "$work/share.conf"
printf '[verify]\nmode = insecure\n' >"$work/share.conf"
refused "insecure without a share" 1 'share.conf:2: .*no shared directory is named' --no-modules --config "$work/share.conf"

refused "module of the policy absent" 3 "needed because the policy's \[modules\] names it" \
	--modules-dir "$modules" --config "$work/wants.conf"
printf '[upper]\ntype = disk\ndevice = PARTTYPE=var\nfilesystem = f2fs\n' >"$work/wants.conf"
refused "filesystem of the upper absent" 3 "f2fs: .*needed because the policy's \[upper\] permits it" \
	--modules-dir "$modules" --config "$work/wants.conf"
printf '[modules]\nlaod = loop\n' >"$work/bad.conf"
refused "policy misspelt" 1 'laod: .*bad.conf:2: there is no such setting. Did you mean "load"' --no-modules --config "$work/bad.conf"
refused "certificate is a key" 1 'test.key: it is not a certificate in PEM' --no-modules --cert "$work/test.key"
cat "$work/test.pem" "$work/test.pem" >"$work/two.crt"
refused "two certificates in one file, which the boot refuses" 1 'two.crt: it holds more than one certificate' --no-modules --cert "$work/two.crt"
openssl req -x509 -newkey rsa:1024 -nodes -keyout "$work/weak.key" -out "$work/weak.crt" -subj /CN=weak 2>/dev/null
refused "a certificate whose signatures no boot takes" 1 'weak.crt: the RSA key has 1024 bits' --no-modules --cert "$work/weak.crt"
refused "no tree of modules" 1 'modules.builtin' --modules-dir "$work/bare"
refused "two files at one path" 3 '/etc/underlay/underlay.conf is taken by' --no-modules --config "$work/underlay.conf" \
	--add "$work/list:/etc/underlay/underlay.conf"
refused "a path that leaves the initramfs" 2 'Give an absolute path' --no-modules --add "$work/list:/../etc/passwd"
refused "neither tree nor --no-modules" 2 'modules-dir or --no-modules is missing' --config "$work/underlay.conf"
refused "an unknown level" 2 'from 1 to 22' --no-modules --compress zstd,23
refused "an init that is a script" 1 'it is not a program' --no-modules --init "$0"
tap_end
