# Keys, store images and initramfs for the boots. To be sourced after cache.sh, appliance.sh and qemu.sh.
#
#   image_keys                       make the signer (KEYS/signer.{key,crt}) and a stranger (KEYS/stranger.*)
#   image_appliance NIX[:RELEASE]    print the signed image of the appliance with that Nix; made when the
#                                    underlay program or the store is newer
#   image_config FILE [LINE...]      write a policy: what every boot here wants, and the lines of the case
#   image_initrd KERNEL CONFIG       print the initramfs with that policy and the signer's certificate, or $image_cert
#   image_tools_disk                 print a disk with Debian trixie's programs (systemd, veritysetup): an erofs
#   image_system NIX                 print the system's store path
#   image_partition IMAGE N          print start and size, in bytes, of partition N (1 data, 2 hash, 3 signature)

underlay=${underlay:-build/underlay}
keys_dir=$qemu_dir/keys
initrd_options=(--compress zstd,3) # the default takes 3 s, and there are many policies

image_keys() {
	local who
	mkdir -p "$keys_dir"
	for who in signer stranger; do
		[ ! -e "$keys_dir/$who.crt" ] || continue
		openssl req -x509 -newkey rsa:2048 -sha256 -nodes -days 3650 \
			-subj "/O=Underlay's tests/CN=$who" -keyout "$keys_dir/$who.key" \
			-out "$keys_dir/$who.new" 2>/dev/null &&
			mv "$keys_dir/$who.new" "$keys_dir/$who.crt" || return 1
	done
}

image_system() {
	local store
	store=$(appliance_store "$1") && cat "$store/system"
}

# image_build NIX OUT [OPTION...]: the appliance as an image, with more options.
image_build() {
	local nix=$1 out=$2 store version=1
	shift 2
	store=$(appliance_store "$nix") || return 1
	[[ $nix != *:* ]] || version=${nix#*:}
	"$underlay" image build -o "$out" --database "$store/nix/var/nix/db/db.sqlite" \
		--store "$store/nix/store" --system "$(cat "$store/system")" --name appliance --version "$version.0" \
		--key "$keys_dir/signer.key" --cert "$keys_dir/signer.crt" "$@"
}

image_appliance() {
	local store image log
	store=$(appliance_store "$1") || return 1
	image=$qemu_dir/$(basename "$store").img
	log=$image.log
	(
		flock 9
		image_keys || exit 1
		if [ ! "$image" -nt "$underlay" ] || [ ! "$image" -nt "$keys_dir/signer.crt" ]; then
			rm -f "$image"
			image_build "$1" "$image" >"$log" 2>&1 || {
				cat "$log" >&2
				exit 1
			}
		fi
	) 9>"$qemu_dir/.image.lock" || return 1
	echo "$image"
}

image_config() {
	local file=$1 line
	shift
	# No delay: nobody reads the message before the machine restarts. A device that is not there is
	# not waited for as long as on a real machine.
	cat >"$file" <<-END
		[image]
		timeout = 5s
		settle = 0
		[failure]
		delay = 0
	END
	for line; do
		printf '%s\n' "$line"
	done >>"$file"
}

image_initrd() {
	local kernel=$1 config=$2 out=$2.$1.initrd
	"$underlay" initrd build -o "$out.new" ${initrd_options[@]+"${initrd_options[@]}"} --init "${underlay%/*}/underlay-init" --config "$config" \
		--cert "${image_cert:-$keys_dir/signer.crt}" --modules-dir "$(cache_modules "$kernel")" >"$out.log" 2>&1 || {
		cat "$out.log" >&2
		return 1
	}
	mv "$out.new" "$out"
	echo "$out"
}

image_partition() {
	sfdisk --json "$1" | jq -r ".partitiontable.partitions[$2 - 1] | \"\(.start * 512) \(.size * 512)\""
}

# The Debian tree without what a guest has no use for; it trusts the signer.
image_tools_disk() {
	local trixie disk tree=$qemu_dir/tools-tree
	trixie=$(cache_tree trixie) || return 1
	disk=$qemu_dir/$(basename "$trixie").erofs
	if [ ! "$disk" -nt "$keys_dir/signer.crt" ]; then
		rm -rf "$tree"
		mkdir -p "$tree"
		cp -al "$trixie"/. "$tree" 2>/dev/null || cp -a "$trixie"/. "$tree"
		rm -rf "$tree"/{boot,usr/lib/modules,usr/share/doc,usr/share/locale,dev,var/lib/apt}
		mkdir -p "$tree/dev" "$tree/etc/verity.d"
		cp "$keys_dir/signer.crt" "$tree/etc/verity.d/"
		mkfs.erofs --quiet "$disk.new" "$tree" >&2 && mv "$disk.new" "$disk" || return 1
		rm -rf "$tree"
	fi
	echo "$disk"
}
