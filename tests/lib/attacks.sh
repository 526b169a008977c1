# Attacks that somebody writes on an upper while the machine is off, each on a sealed path of its own. To be sourced
# after tap.sh, cache.sh, appliance.sh, qemu.sh, image.sh and upper.sh, by a script with a mount namespace of its own.
#
#   attacks_prepare      of $image, and $store of which it was made: mounts its filesystem on $work/image, sets $sealed
#                        and the names to be attacked
#   attack_entries       the upper's filesystem, mounted at $at, gets the attacks; $victims tells which of them each
#   attack_origin        sealed name is the victim of
#   attack_system

attack=${underlay%/*}/tests/tools/upper_attack
null_uuid=00000000-0000-0000-0000-000000000000

attacks_prepare() {
	local start size
	sealed=$store/nix/store
	mapfile -t directories < <(cd "$sealed" && find . -mindepth 2 -maxdepth 2 -name lib -printf '%h\n' | sed 's|^\./||' | sort)
	mapfile -t files < <(cd "$sealed" && find . -mindepth 1 -maxdepth 1 -type f -name '*.service' -printf '%P\n' | sort)
	# The last of each are for attacks that are made of one name.
	hidden=${directories[-1]} hot=${directories[-2]}
	directories=("${directories[@]:0:${#directories[@]}-2}")
	# The image's own filesystem, for the handles of its files: those of a mount differ from these of the source.
	mkdir "$work/image"
	read -r start size <<<"$(image_partition "$image" 1)"
	mount -o "ro,loop,offset=$start,sizelimit=$size" "$image" "$work/image"
}

# Sealed names are used up one after the other; $victims tells which attack each is the victim of.
declare -A victims
victim=
a_directory() {
	victim=${directories[0]}
	directories=("${directories[@]:1}")
	victims[$victim]=$1
}
a_file() {
	victim=${files[0]}
	files=("${files[@]:1}")
	victims[$victim]=$1
}
fill() {
	mkdir -p "$at/kept/$1/lib" && echo bad >"$at/kept/$1/lib/bad.so"
}

attack_entries() {
	a_directory "a whole directory over a sealed name" && fill "$victim"
	a_directory "a single file under an opaque directory" && fill "$victim" &&
		setfattr -n trusted.overlay.opaque -v y "$at/kept/$victim"
	a_directory "a whiteout inside a directory that is merged" && mkdir -p "$at/kept/$victim" &&
		mknod "$at/kept/$victim/lib" c 0 0
	a_directory "a symlink in place of a path" && ln -s /tmp "$at/kept/$victim"
	a_directory "a symlink to another sealed path" && ln -s "/nix/store/${directories[0]}" "$at/kept/$victim"
	a_directory "a whiteout" && mknod "$at/kept/$victim" c 0 0
	a_file "a whiteout of a file" && mknod "$at/kept/$victim" c 0 0
	a_file "a whiteout by attribute" && : >"$at/kept/$victim" &&
		setfattr -n trusted.overlay.whiteout -v y "$at/kept/$victim" && setfattr -n trusted.overlay.opaque -v x "$at/kept"
	a_directory "trusted.overlay.redirect" && fill "$victim" &&
		setfattr -n trusted.overlay.redirect -v "/${directories[0]}" "$at/kept/$victim"
	a_directory "user.overlay.redirect" && fill "$victim" &&
		setfattr -n user.overlay.redirect -v "/${directories[0]}" "$at/kept/$victim"
	a_directory "user.overlay.opaque" && fill "$victim" && setfattr -n user.overlay.opaque -v y "$at/kept/$victim"
	a_file "trusted.overlay.metacopy" && : >"$at/kept/$victim" &&
		setfattr -n trusted.overlay.metacopy "$at/kept/$victim" &&
		setfattr -n trusted.overlay.redirect -v "/${files[0]}" "$at/kept/$victim"
	a_file "user.overlay.metacopy" && : >"$at/kept/$victim" && setfattr -n user.overlay.metacopy "$at/kept/$victim"
	a_file "another file" && echo bad >"$at/kept/$victim"
	a_file "a block device" && mknod "$at/kept/$victim" b 254 0
	a_file "a character device" && mknod "$at/kept/$victim" c 1 3
	a_file "a fifo" && mkfifo "$at/kept/$victim"
	a_file "a setuid file" && cp /bin/true "$at/kept/$victim" && chmod 6755 "$at/kept/$victim"
	a_file "a hard link to another entry" && echo bad >"$at/kept/linked" && ln "$at/kept/linked" "$at/kept/$victim"
	a_file "a file that may not be changed" && echo bad >"$at/kept/$victim" && chattr +i "$at/kept/$victim"
	a_directory "a directory that may not be changed" && fill "$victim" && chattr +i "$at/kept/$victim"
	# What has no sealed name may stay or go; it must not harm.
	mknod "$at/kept/00000000000000000000000000000000-disk" b 254 0
	cp /bin/true "$at/kept/00000000000000000000000000000000-setuid" &&
		chmod 6755 "$at/kept/00000000000000000000000000000000-setuid"
	mkdir "$at/kept/00000000000000000000000000000000-redirected" &&
		setfattr -n trusted.overlay.redirect -v /../../etc "$at/kept/00000000000000000000000000000000-redirected"
	local odd
	for odd in $'new\nline' $'\377\376' $'\e[2Jescape' -rf '...' ' ' '*' '"' "${files[0]}"$'\n' "./${files[0]} " \
		"$(printf 'x%.0s' {1..255})"; do
		echo bad >"$at/kept/${odd#./}"
	done
}
# The sealed files' handles, with the UUID of the filesystem: whoever looks at the other name first would have the
# sealed one served from the kept layer. Where there is a database it has rows of them, or they would be swept.
attack_origin() {
	local i=0 file alias hash database=$at/var/nix/db/db.sqlite
	echo bad >"$work/bad"
	hash=$(in_tree -b "$(realpath "$work"):/mnt" "$(cache_tree trixie)" nix-hash --type sha256 /mnt/bad) || return 1
	for file in "${files[@]: -5}" "${directories[0]}" "$hidden/lib/$(ls "$sealed/$hidden/lib" | head -n 1)" \
		"$(basename "$(cat "$store/system")")/init"; do
		i=$((i + 1))
		alias=zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz$i-alias
		if [ -d "$sealed/$file" ]; then
			mkdir -p "$at/kept/$alias/lib" && echo bad >"$at/kept/$alias/lib/bad.so"
		else
			echo bad >"$at/kept/$alias"
		fi
		"$attack" origin "$work/image/nix/store/$file" "${uuid:-$null_uuid}" "$at/kept/$alias" || return 1
		[ ! -s "$database" ] || sqlite3 "$database" "insert into ValidPaths (path, hash, registrationTime, narSize)
			values ('/nix/store/$alias', 'sha256:$hash', 1, 120)" || return 1
	done
	rm -f "$database"-*
}
# What runs as PID 1; it would tell.
attack_system() {
	local name
	name=$(basename "$(cat "$store/system")")
	victims[$name]="the system itself"
	mkdir -p "$at/kept/$name" || return 1
	printf '%s\n' "$(head -n 1 "$sealed/$name/init")" 'echo "say wrong the init of the upper ran" >/dev/ttyS1' >"$at/kept/$name/init"
	chmod 755 "$at/kept/$name/init"
}
