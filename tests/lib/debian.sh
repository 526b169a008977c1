# A whole Debian with systemd as a sealed system. To be sourced after cache.sh; for images and initramfs, after
# image.sh.
#
#   debian_store     prints the folder with nix/store, nix/var/nix/db/db.sqlite and `system`, its path; made once per
#                    recipe and build of the programs, which are in it
#   debian_image     prints that store as an image, signed and named debian
#   debian_initrd KERNEL CONFIG    prints the folder of `initrd`, made by that Debian's dracut, with systemd, our unit
#   debian_plain_initrd KERNEL     the same with nothing of ours: systemd's veritysetup alone

# Units beside Underlay's own, with their folders, for an initramfs whose policy has the comment "activation".
debian_units=${BASH_SOURCE[0]%/*}/../debian/initrd
debian_recipe=${BASH_SOURCE[0]%/*}/../debian
debian_packages=(
	systemd systemd-sysv udev dbus kmod nix-bin nix-setup-systemd busybox-static bash dash coreutils findutils sed grep
	gawk util-linux mount libc-bin base-files base-passwd login passwd procps dracut systemd-cryptsetup cryptsetup-bin
	zstd cpio binutils jq e2fsprogs sqlite3 libfdisk1 libinih1 libjson-c5 libdevmapper1.02.1 libkmod2
)

# The packages, with the programs under test where a package would put them.
debian_make_tree() {
	local tree=$1
	cache_make_tree trixie "$(IFS=, && echo "${debian_packages[*]}")" "$tree" || return 1
	cp "$tree"/usr/share/base-passwd/passwd.master "$tree/etc/passwd" &&
		cp "$tree"/usr/share/base-passwd/group.master "$tree/etc/group"
}

debian_tree() {
	cache_build debian "$({ echo "${debian_packages[*]}" && declare -f debian_make_tree cache_make_tree; } | cache_key)" \
		debian_make_tree
}

debian_programs() {
	local build=${underlay%/*} root=$1
	mkdir -p "$root/usr/lib/underlay" "$root/usr/lib/dracut/modules.d/90underlay" &&
		strip -o "$root/usr/bin/underlay" "$build/underlay" &&
		strip -o "$root/usr/lib/underlay/underlay-init" "$build/underlay-init" &&
		strip -o "$root/usr/lib/underlay/underlay-shutdown" "$build/underlay-shutdown" &&
		cp initrd/dracut/90underlay/* initrd/systemd/* "$root/usr/lib/dracut/modules.d/90underlay/"
}

debian_make_store() {
	local tree=$1 entry=$2 root=$2/root
	mkdir -p "$entry/nix/var/nix/gcroots" "$root" || return 1
	# A copy that shares the packages' files: the programs lie over them.
	cp -al "$tree/." "$root/" && debian_programs "$root" || return 1
	cp "$root/etc/passwd" "$root/etc/group" "$entry/" || return 1
	in_tree -b "$debian_recipe:/mnt" -b "$entry/nix:/nix" "$root" bash -euc '
		export NIX_REMOTE= NIX_CONFIG="build-users-group =
sandbox = false
substitute = false"
		cp -r /mnt /tmp/recipe && cp /etc/passwd /etc/group /tmp/recipe/etc/
		nix-build /tmp/recipe/default.nix --arg recipe /tmp/recipe -A system --no-out-link >/nix/system
	' >"$entry/log" 2>&1 || {
		tail -n 30 "$entry/log"
		return 1
	}
	mv "$entry/nix/system" "$entry/system"
	rm -rf "$root"
}

debian_store() {
	local tree
	tree=$(debian_tree) || return 1
	cache_build debian-store "$({
		echo "$tree"
		cd "$debian_recipe" && find . \( -type f -o -type l \) -print0 | sort -z | xargs -0 sha256sum 2>/dev/null
		cd - >/dev/null && sha256sum "${underlay%/*}"/underlay{,-init,-shutdown} initrd/dracut/90underlay/* initrd/systemd/*
	} | cache_key)" debian_make_store "$tree"
}

# debian_dracut MODULES ENTRY OPTION...: the copy of the Debian in ENTRY/root has all that goes in; it becomes
# ENTRY/initrd.
debian_dracut() {
	local modules=$1 entry=$2 root=$2/root version=${1##*/}
	shift 2
	mkdir -p "$root/usr/lib/modules" && cp -r "$modules" "$root/usr/lib/modules/" || return 1
	in_tree "$root" sh -euc 'depmod "$1"; version=$1; shift
		dracut --force --no-hostonly --kver "$version" --zstd --strip --no-early-microcode "$@" /boot/initrd.img' \
		dracut "$version" "$@" >"$entry/log" 2>&1 || {
		tail -n 30 "$entry/log"
		return 1
	}
	mv "$root/boot/initrd.img" "$entry/initrd"
	rm -rf "$root"
}

debian_image() {
	local store image
	store=$(debian_store) || return 1
	image=$qemu_dir/$(basename "$store").img
	(
		flock 9
		image_keys || exit 1
		[ ! "$image" -nt "$store/system" ] || [ ! "$image" -nt "$keys_dir/signer.crt" ] || exit 0
		"$underlay" image build --force -o "$image" --database "$store/nix/var/nix/db/db.sqlite" \
			--store "$store/nix/store" --system "$(cat "$store/system")" --name debian --version 13 \
			--key "$keys_dir/signer.key" --cert "$keys_dir/signer.crt" >"$image.log" 2>&1 ||
			{ cat "$image.log" >&2 && exit 1; }
	) 9>"$qemu_dir/.image.lock" || return 1
	echo "$image"
}

# The initramfs: dracut's, with systemd, our unit, a policy, the signer's certificate, and a unit that lays the system
# out as NixOS' activation does.
debian_make_initrd() {
	local tree=$1 version=$2 config=$3 entry=$4 root=$4/root modules
	modules=$(cache_modules "$version") || return 1
	mkdir -p "$root/etc/underlay" "$root/etc/verity.d" &&
		cp -al "$tree/." "$root/" && debian_programs "$root" && mkdir -p "$root/boot" &&
		cp "$config" "$root/etc/underlay/underlay.conf" &&
		cp "$keys_dir/signer.crt" "$root/etc/verity.d/" &&
		cp -r "$debian_units" "$root/boot/initrd" || return 1
	# A policy that says so in a comment: the system is laid out before systemd goes to it, as in NixOS.
	grep -q '^# activation$' "$config" || rm -rf "$root"/boot/initrd/*
	debian_dracut "$modules" "$entry" --add underlay --install /usr/sbin/chroot --include /boot/initrd / \
		--force-drivers 'dm_verity overlay erofs virtio_blk virtio_pci'
}

debian_initrd() {
	local tree
	tree=$(debian_tree) || return 1
	cache_build debian-initrd "$({
		echo "$tree $1"
		declare -f debian_make_initrd debian_dracut
		sha256sum "$2" "$keys_dir/signer.crt" "${underlay%/*}"/underlay{-init,-shutdown} initrd/dracut/90underlay/* \
			initrd/systemd/*
		find "$debian_units" -type f -print0 | sort -z | xargs -0 sha256sum
	} | cache_key)" debian_make_initrd "$tree" "$1" "$2"
}

debian_make_plain_initrd() {
	local tree=$1 version=$2 entry=$3 root=$3/root modules
	modules=$(cache_modules "$version") || return 1
	mkdir -p "$root/boot/include/usr/lib/dracut/hooks/cmdline" && cp -al "$tree/." "$root/" || return 1
	# The root is a tmpfs of systemd's making; dracut, which knows only devices, is told to let it be.
	echo 'rootok=1' >"$root/boot/include/usr/lib/dracut/hooks/cmdline/95-tmpfs.sh"
	debian_dracut "$modules" "$entry" --add systemd-veritysetup --include /boot/include / \
		--force-drivers 'dm_verity erofs virtio_blk virtio_pci'
}

debian_plain_initrd() {
	local tree
	tree=$(debian_tree) || return 1
	cache_build debian-plain-initrd "$({ echo "$tree $1" && declare -f debian_make_plain_initrd debian_dracut; } | cache_key)" \
		debian_make_plain_initrd "$tree" "$1"
}
