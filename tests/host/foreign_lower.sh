#!/usr/bin/env bash
# Lowers of every filesystem, and lowers that others made: where their store lies, what registers their paths, and what
# the boot makes of those that register none.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/stages.sh

# ---- filesystems ---------------------------------------------------------------------------------

make_tree "$tmp/own" || { echo "not ok - the lower is made" && exit 1; }
shows='cmp "$root/nix/store/$library/file" <(echo library) && jq -e ".lowers[0].filesystem == \"$type\"" "$run/state.json"'
export type
while read -r type options; do
	# shellcheck disable=SC2086 # several options
	lower own $type $options
	tap "a lower of $type $options" run "$shows" "" "[lower]" "filesystems = $type"
done <<-END
	erofs
	erofs -zlz4
	erofs -zlz4hc,9 -C65536
	squashfs -comp zstd
	squashfs -comp xz
	squashfs -comp gzip
	ext4
END
before='mount -t tmpfs mine "$root"'
tap "ext4 is mounted without its journal" run 'findmnt -no OPTIONS "$root/nix/.ro" | grep -q "^ro,nosuid,nodev.*norecovery"' \
	"" "[lower]" "filesystems = erofs ext4"
before=
refused "ext4 where the policy does not name it" 23 'lower: .*it is ext4, which \[lower\] filesystems does not permit'
# Made on a running system, and not unmounted: only the journal knows what it holds.
cp "$tmp/own.img" "$tmp/dirty.img"
debugfs -w -R 'feature needs_recovery' "$tmp/dirty.img" >/dev/null 2>&1
attach_device "$tmp/dirty.img" --read-only
type=ext4
tap "an ext4 that wants its journal replayed is not written to" run "$shows" "" "[lower]" "filesystems = ext4"

cp "$tmp/own.img" "$tmp/feature.img"
debugfs -w -R 'feature FEATURE_I30' "$tmp/feature.img" >/dev/null 2>&1
attach_device "$tmp/feature.img" --read-only
refused "an ext4 with a feature of tomorrow: the kernel's own words" 23 \
	'lower: mounting the lower: /dev/loop[0-9]+: this kernel cannot read this ext4: EXT4-fs \(loop[0-9]+\): .*unsupported .*features' \
	"" "[lower]" "filesystems = ext4"

# ---- layouts -------------------------------------------------------------------------------------

# foreign NAME STORE [REGISTRATION]: our lower's store at another place, and nothing else of it.
foreign() {
	local name=$1 place=$2 file=${3:-}
	mkdir -p "$tmp/$name/$place"
	cp -a "$tmp/own/nix/store/." "$tmp/$name/$place"
	[ -z "$file" ] || { mkdir -p "$(dirname "$tmp/$name/$file")" && registration >"$tmp/$name/$file"; }
	lower "$name"
}

system_line=("[system]" "path = /nix/store/$system")
registered='set -e
	cmp "$root/nix/store/$library/file" <(echo library)
	echo new >"$root/nix/store/new"
	[ "$(cat "$session/new")" = new ]
	[ "$(sqlite3 "$root/nix/var/nix/db/db.sqlite" "select count(*) from ValidPaths")" = 3 ]
	[ "$(sqlite3 "$root/nix/var/nix/db/db.sqlite" "select count(*) from Refs")" = 2 ]
	[ "$(ls "$root/nix/var/nix/gcroots/underlay/lower0" | tr "\n" " ")" = \
		"$system $other " ]
	jq -e "[.database.mode, .lowers[0].paths, .lowers[0].store, .lowers[0].system] ==
		[\"rebuild\", 3, \"$place\", \"/nix/store/$system\"]" "$run/state.json"'
export place
while read -r name place file; do
	foreign "$name" "$place" "$file"
	tap "the store at $place, registered by $file" run "$registered" "" "${system_line[@]}"
done <<-END
	nix-root nix/store nix-path-registration
	nix-store nix/store nix/store/.nix-path-registration
	usr-root usr/nix/store nix-path-registration
	usr-store usr/nix/store usr/nix/store/.nix-path-registration
	all-root . nix-path-registration
	all-store . .nix-path-registration
END
place=.
foreign elsewhere . etc/registered
tap "a registration where the policy says" run "$registered" "" "${system_line[@]}" "[lower]" "registration = /etc/registered"
tap "attach is impossible, and the boot says why" run '
	jq -e ".database.mode == \"rebuild\" and (.database.why | test(\"store is not at /nix/store\"))" "$run/state.json"' \
	"" "${system_line[@]}" "[lower]" "registration = etc/registered" "[database]" "mode = attach"
refused "a registration that is not there" 25 'lower: .*etc/nowhere: the image does not have it' "" \
	"${system_line[@]}" "[lower]" "registration = etc/nowhere"
refused "no registration where it is required" 25 'lower: .*it has neither a manifest nor a registration' "" "${system_line[@]}"
optional=("[lower]" "manifest = optional")
tap "no registration where it is optional: the store, and no database" run '
	set -e
	cmp "$root/nix/store/$library/file" <(echo library)
	is_empty_dir "$root/nix/var/nix/db"
	is_empty_dir "$root/nix/var/nix/gcroots/underlay"
	jq -e ".database.mode == \"none\" and (.lowers[0] | has(\"paths\") | not)" "$run/state.json"' \
	"" "${system_line[@]}" "${optional[@]}"
says_so() {
	run true "" "${system_line[@]}" "${optional[@]}" 2>&1 |
		grep 'the image does not register its paths: Nix will not know them'
}
tap "and the log says what that means" says_so
refused "nobody names a system" 30 'lower: .*neither the image nor the policy names a system. Set \[system\] path' "" "${optional[@]}"
tap "a name is believed where the root hash is pinned" run true "" "${system_line[@]}" "${optional[@]}" "[image]" "name = theirs"
# By whom it is pinned matters: a parameter only demands more.
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=signer -keyout "$tmp/key" -out "$tmp/signer.crt" 2>/dev/null || exit 1
export tmp
signed=("${verify[@]}")
verify=("mode = user" "descriptor = optional")
before='mkdir -p "$conf/etc/verity.d" && cp "$tmp/signer.crt" "$conf/etc/verity.d/"'
hash=$(printf '%064d' 1)
for parameter in "" usrhash=$hash underlay.root-hash=$hash underlay.rollback-min=3 dm_verity.require_signatures=1; do
	refused "no name where the policy wants one, with ${parameter%%=*}" 14 \
		'lower: .*the policy wants theirs, and nothing sealed in this image tells its name' "$parameter" \
		"${system_line[@]}" "${optional[@]}" "[image]" "name = theirs"
done
tap "but where the policy trusts the parameter" run true "usrhash=$hash" "${system_line[@]}" "${optional[@]}" \
	"[image]" "name = theirs" "[cmdline]" "allow = usrhash"
verify=("${signed[@]}")
before=

# names_stay: what the boot made beside the lower, nobody changes by its path: not root, and not in the place of .links.
names_stay() {
	local at=$root/nix/.names/0 mount=$root/nix/.names
	findmnt -no OPTIONS "$mount" | grep -q "^ro,nosuid,nodev,noexec" || return
	fails 1 "Read-only file system" mkdir "$mount/1" || return
	if [ -e "$at/links" ]; then
		fails 1 "Read-only file system" touch "$at/links/.links/x" || return
	fi
	if [ -e "$at/names" ]; then
		fails 1 "Read-only file system" rm "$at/names/$library" || return
		fails 1 "Read-only file system" touch "$at/names/x" || return
	fi
}
export -f names_stay

# ---- an upper in memory ----------------------------------------------------------------------------

# The directory of Nix's hard links is the image's or the boot's: no builder makes one, and chooses what Nix links.
for kind in with without; do
	foreign memory-$kind . nix-path-registration
	[ $kind = without ] || { mkdir -p "$tmp/memory-$kind/.links" && lower memory-$kind; }
	layers=/nix/.ro/.
	[ $kind = with ] || layers=/nix/.ro/.:/nix/.names/0/links
	export layers
	tap "an upper in memory, $kind .links: nobody else makes it" run '
		set -e
		shown=$(findmnt -no OPTIONS "$root/nix/store" | tr , "\n" | sed -n "s/^lowerdir=//p")
		[ "$shown" = "$layers" ] || { echo "$shown" >&2 && exit 1; }
		chmod 1777 "$root/nix/store"
		[ "$(stat -c "%u %a" "$root/nix/store/.links")" = "0 755" ]
		cd "$root/nix/store"
		as_user() { setpriv --reuid=30001 --regid=30000 --clear-groups "$@"; }
		as_user mkdir other
		for way in "mkdir .links" "rmdir .links" "mv other .links" "touch .links/x"; do
			if as_user $way 2>/dev/null; then echo "$way" >&2; exit 1; fi
		done
		ln "$library/file" .links/mine
		cd /
		[ "$layers" = /nix/.ro/. ] || names_stay' "" "${system_line[@]}"
done

# ---- an upper on a disk --------------------------------------------------------------------------

# What others made has no names layer, and mostly no directory of hard links: the boot makes both.
overlay_layers='set -e
	shown=$(findmnt -no OPTIONS "$root/nix/store" | tr , "\n" | sed -n "s/^lowerdir=//p")
	[ "$shown" = "$layers" ] || { echo "$shown" >&2 && exit 1; }
	cmp "$root/nix/store/$library/file" <(echo library)
	cmp "$root/nix/store/$other" <(echo other)
	[ "$(ls -A "$root/nix/store/$library")" = file ]
	[ -d "$root/nix/store/.links" ]
	is_empty_dir "$root/nix/store/.links"
	mkdir "$root/nix/store/.links/mine"
	names_stay
	[ "$(stat -c %s "$root/nix/.names/0/names/$library")" = 0 ]
	[ ! -e "$root/nix/.names/0/names/$other" ]'
export layers
for kind in with without; do
	foreign disk-$kind . nix-path-registration
	[ $kind = without ] || { mkdir -p "$tmp/disk-$kind/.links" && lower disk-$kind; }
	lower=$device
	truncate -s 64M "$tmp/$kind.disk"
	attach_device "$tmp/$kind.disk"
	disk=$device device=$lower
	policy=("${system_line[@]}" "[upper]" "type = disk" "device = $disk" "prepare = format")
	layers=/nix/.ro/.:/nix/.names/0/names:/nix/.rw/kept
	[ $kind = with ] || layers=/nix/.ro/.:/nix/.names/0/links:/nix/.names/0/names:/nix/.rw/kept
	tap "an upper on a disk, $kind .links: the layers" run "$overlay_layers"'
		echo built >"$root/nix/store/33333333333333333333333333333333-built"
		db=$root/nix/var/nix/db/db.sqlite
		sqlite3 "$db" "insert into ValidPaths (path, hash, registrationTime) values (\"/nix/store/33333333333333333333333333333333-built\", \"sha256:$(printf %064d 5)\", 7)"
		"$underlay" mark-clean --upper "$root/nix/.rw"
		# What somebody puts beneath the sealed names while the machine is off.
		mkdir -p "$root/nix/.rw/kept/$library" "$root/nix/.rw/kept/.links/evil"
		echo evil | tee "$root/nix/.rw/kept/$library/file" "$root/nix/.rw/kept/$library/more" >"$root/nix/.rw/kept/$other"' "" "${policy[@]}"
	tap "an upper on a disk, $kind .links: what was built is there, what hides beneath sealed names is not" run "$overlay_layers"'
		[ "$(cat "$root/nix/store/33333333333333333333333333333333-built")" = built ]
		[ ! -e "$session/33333333333333333333333333333333-built" ]
		[ -e "$root/nix/.rw/kept/33333333333333333333333333333333-built" ]
		[ "$(ls "$root/nix/.rw/sessions" | wc -l)" = 1 ]' "" "${policy[@]}"
done

# ---- what is refused -----------------------------------------------------------------------------

spoil() { # NAME SENTENCE: what is at the registration's place comes from standard input
	mkdir -p "$tmp/$1"
	cp -a "$tmp/own/nix/store/." "$tmp/$1"
	cat >"$tmp/$1/nix-path-registration"
	lower "$1"
	refused "$1" 25 "lower: .*nix-path-registration.*$2" "" "${system_line[@]}" "${optional[@]}"
}
# Not by a pipe: a subshell's loop devices are nobody's to detach.
spoil cut-registration 'line' < <(registration | head -c 150)
spoil dangling-registration '33-more: it refers to .*44-unknown, which is not given' \
	< <(registration && record 33333333333333333333333333333333-more 44444444444444444444444444444444-unknown)
spoil other-store-registration '/gnu/store/.*it does not lie in' < <(registration | sed 's|/nix/store/|/gnu/store/|')
truncate -s 200M "$tmp/huge" && spoil huge-registration 'File too large' <"$tmp/huge"
mkdir -p "$tmp/no-store/etc" && lower no-store
refused "no store at all" 24 'lower: .*neither /nix/store nor /usr/nix/store nor its root holds store paths' "" "${system_line[@]}"
# What is ours is not taken for another's because a file is missing.
make_tree "$tmp/half" && rm "$tmp/half/nix/.underlay/image.json" && registration >"$tmp/half/nix-path-registration" && lower half
refused "our own image without image.json" 24 'lower: .*image.json: No such file' "" "${system_line[@]}" "${optional[@]}"
tap_end
