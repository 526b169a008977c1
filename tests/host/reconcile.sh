#!/usr/bin/env bash
# Real Nix (2.26 in both modes, 2.8 on a rebuilt database) on an upper whose lower changes: build on one image,
# reconcile with another that has new paths, lacks one, has one with other contents and one that the upper had built
# itself; then back. Nix's own check of all contents is clean, what should be valid is and nothing else, and its
# collector takes nothing that is sealed. Then the upgrade as it goes wrong elsewhere: the old image's database copied
# up. And attributes of overlayfs.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/namespace.sh
underlay=$(realpath "${BUILD:-build}/underlay")
layers=$(realpath "${BUILD:-build}/tests/tools/layers")
# shellcheck source=tests/lib/cache.sh
. tests/lib/cache.sh
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
dir=$(mktemp -d)
tap_at_exit 'umount -R "$dir/upper" 2>/dev/null; chmod -R u+w "$dir"; rm -rf "$dir"'

# ---- the lowers ----------------------------------------------------------------------------------

cat >"$dir/world.nix" <<'END'
let
  make = name: deps: text: derivation {
    inherit name deps; system = builtins.currentSystem; builder = "/bin/bash";
    # What is built twice differs where /tmp/variant does: a build that is not reproducible.
    args = [ "-c" "/bin/mkdir $out; echo ${text} $deps >$out/text; [ ! -e /tmp/variant ] || /bin/cat /tmp/variant >>$out/text" ];
  };
in rec {
  lib = make "lib" [ ] "lib"; gone = make "gone" [ lib ] "gone"; app = make "app" [ lib ] "app";
  same = make "same" [ lib ] "same"; new = make "new" [ lib app ] "new"; early = make "early" [ app ] "early";
  own1 = make "own1" [ lib same ] "own1"; own2 = make "own2" [ gone ] "own2"; own3 = make "own3" [ own2 own1 ] "own3";
}
END

prelude='set -eu
export NIX_CONFIG="build-users-group =
sandbox = false
substituters =
$conf"
'

# make_lower NUMBER VARIANT ATTRIBUTE...: built by Nix itself, so that hashes and references are right.
make_lower() {
	local n=$1 variant=$2 lower=$dir/lower$1 made=$dir/made$1
	shift 2
	mkdir -p "$made" "$lower/nix/store" "$lower/nix/store/.links" "$lower/nix/.underlay" \
		"$lower"/nix/var/nix/{db,gcroots/{auto,per-user},profiles/per-user,temproots,userpool,userpool2}
	cp "$dir/world.nix" "$made/world.nix"
	# A different variant changes what `same` holds, and nothing else's name.
	in_tree -b "$made:/nix" "$tree" bash -c "conf=; $prelude
		nix-build /nix/world.nix ${*/#/-A } --no-out-link >/dev/null
		if [ -n '$variant' ]; then
			same=\$(nix-build /nix/world.nix -A same --no-out-link)
			drv=\$(nix-store -q --deriver \$same)
			nix-store --delete --ignore-liveness \$same >/dev/null
			echo $variant >/tmp/variant
			nix-store --realise \$drv >/dev/null
		fi" >"$dir/log" 2>&1 || { cat "$dir/log" && return 1; }
	# The image holds the outputs alone, as a closure of a system does.
	"$underlay" manifest create -o "$dir/all" --database "$made/var/nix/db/db.sqlite" >/dev/null &&
		"$underlay" manifest export --format registration "$dir/all" >"$dir/all.txt" || return 1
	python3 - "$dir/all.txt" "$dir/lower$n.txt" <<'END'
import sys
lines = open(sys.argv[1]).read().split("\n")
out, i = open(sys.argv[2], "w"), 0
while i + 4 < len(lines):
    n = int(lines[i + 4])
    if not lines[i].endswith(".drv"):
        # Without derivers: the image does not have them.
        out.write("\n".join(lines[i:i + 3] + [""] + lines[i + 4:i + 5 + n]) + "\n")
    i += 5 + n
END
	"$underlay" manifest create -o "$lower/nix/.underlay/manifest" --registration "$dir/lower$n.txt" >/dev/null &&
		"$underlay" db build "$lower/nix/.underlay/manifest" -o "$lower/nix/var/nix/db" || return 1
	grep ^/nix/store "$dir/lower$n.txt" | sort -u >"$dir/paths$n"
	while read -r path; do cp -a "$made/${path#/nix/}" "$lower/nix/store/"; done <"$dir/paths$n"
	mkdir "$lower/nix/.underlay/names" && "$layers" names "$lower/nix/store" "$lower/nix/.underlay/names" >/dev/null
}

# ---- the upper -----------------------------------------------------------------------------------

make_upper() {
	umount -R "$dir/upper" 2>/dev/null
	mkdir -p "$dir/upper" "$dir"/nix/{.ro,.rw,store,var}
	truncate -s 64M "$dir/upper.img"
	mkfs.ext4 -qF "$dir/upper.img" && mount -o loop,nosuid,nodev "$dir/upper.img" "$dir/upper" &&
		mkdir -p "$dir"/upper/{kept,sessions,var/nix/db}
}

# on LOWER SCRIPT: with /nix as the boot lays it out, what the last session left joined and a new one made. The roots of
# the lower stand as the boot sets them.
on() {
	local n=$1 conf='' session
	"$layers" join "$dir/upper" "$dir/lower$n/nix/store" >/dev/null || return
	session=/nix/.rw/sessions/$("$layers" session "$dir/upper" 1775) || return
	[ $mode = rebuild ] || conf='extra-experimental-features = local-overlay-store read-only-local-store
store = local-overlay://?lower-store=local%3Froot%3D/nix/.ro%26read-only%3Dtrue&check-mount=false&upper-layer='$session/up
	rm -rf "$dir/upper/var/nix/gcroots/underlay"
	mkdir -p "$dir/upper/var/nix/gcroots/underlay"
	while read -r path; do ln -s "$path" "$dir/upper/var/nix/gcroots/underlay/"; done <"$dir/paths$n"
	cp "$dir/world.nix" "$dir/upper/world.nix"
	cp "$dir/paths1" "$dir/upper/paths1"
	in_tree -b "$dir/nix:/nix" -b "$dir/lower$n:/nix/.ro" -b "$dir/upper:/nix/.rw" "$tree" bash -c "
		busybox mount -o remount,bind,ro /nix/.ro
		busybox mount -t overlay overlay -o lowerdir=/nix/.ro/nix/store:/nix/.ro/nix/.underlay/names:/nix/.rw/kept,upperdir=$session/up,workdir=$session/work,index=off,metacopy=off,redirect_dir=nofollow,xino=off /nix/store
		busybox mount -o bind /nix/.rw/var /nix/var
		session=$session conf='$conf'; $prelude $2"
}

agree() { # LOWER [OPTION...]
	local n=$1
	shift
	"$underlay" db reconcile --upper "$dir/upper" --lower "$dir/lower$n/nix/.underlay/manifest" --mode $mode --json "$@"
}

# Base names of store paths, without their hashes.
names() { sed -E 's/^[0-9a-z]{32}-//' | sort | xargs; }
invalidated() { jq -r '.invalidated[]?.name' "$dir/report" | grep -v '\.drv$' | names; }
valid_names='nix-store --query --hash $(for n in $names; do ls -d /nix/store/*-$n; done) >/dev/null'

# It ends with 0 where it repaired something as well: so what it says counts, and that it says that it looked.
check_all='nix-store --verify --check-contents >/tmp/verify 2>&1 || { cat /tmp/verify; exit 1; }
	grep -q "^checking" /tmp/verify
	if grep -v -e "^reading the Nix store" -e "^checking" /tmp/verify; then exit 1; fi'

upgrade() {
	tap "$title: builds on image 1, on paths of the image" on 1 '
		cd /tmp; nix-build /nix/.rw/world.nix -A own1 -A own3 -A early --no-out-link
		ls -i $session/up >/nix/.rw/built' || return
	"$underlay" mark-clean --upper "$dir/upper"
	tap "$title: image 2 would cost own2 and own3: refused, nothing written" bash -c '
		before=$(find "$3/kept" "$3/sessions" "$3/var" -type f | sort | xargs sha256sum)
		said=$("$1" db reconcile --upper "$3" --lower "$2" --mode "$4" --refuse 2>&1); status=$?
		echo "$said"
		[ $status = 3 ] && grep -q "own[23]: .* refer to paths that this lower does not have" <<<"$said" && [ "$before" = "$(find "$3/kept" "$3/sessions" "$3/var" -type f | sort | xargs sha256sum)" ]' \
		_ "$underlay" "$dir/lower2/nix/.underlay/manifest" "$dir/upper" $mode
	agree 2 >"$dir/report"
	tap_is "$title: upgrade: these are invalidated, and no more" "$(invalidated)" "gone own2 own3"
	tap "$title: what image 2 has itself goes to the quarantine, and nothing else does" jq -e '[.quarantined[].name[33:]] == ["early"]' "$dir/report"
	tap "$title: image 2: all contents are right" on 2 "$check_all"
	tap "$title: image 2: its paths and the upper's are valid" on 2 "names='lib app same new early own1'; $valid_names"
	tap "$title: image 2: what went is not valid" on 2 '
		sed "s/.* //" /nix/.rw/built | cat - /nix/.rw/paths1 >/tmp/before
		for n in gone own2 own3; do
			path=$(grep -- "-$n\$" /tmp/before | sed "s|.*/||" | head -n 1)
			[ -n "$path" ]
			if nix-store --query --hash "/nix/store/$path" 2>/tmp/said; then exit 1; fi
			grep -q "$path.* is not valid" /tmp/said
		done'
	tap "$title: image 2: own1 is not built again, own2 can be" on 2 '
		cd /tmp; nix-build /nix/.rw/world.nix -A own1 --no-out-link >log 2>&1
		if grep ^building log; then exit 1; fi
		grep -q own1$ log
		line=$(ls -i /nix/.rw/kept/ | grep own1$)
		grep -qxF "$line" /nix/.rw/built
		nix-build /nix/.rw/world.nix -A own3 --no-out-link'
	tap "$title: image 2: the collector takes nothing that is sealed" on 2 '
		nix-store --gc >/tmp/gc 2>&1; cat /tmp/gc
		for path in $(ls /nix/.ro/nix/store); do [ -e /nix/store/$path ]; done # asked for their hashes below
		hidden=$(find $session/up -maxdepth 1 -type c)
		for path in $hidden; do [ ! -e "/nix/.ro/nix/store/${path##*/}" ]; done
		nix-store --query --hash $(ls -d /nix/.ro/nix/store/* | sed s,/nix/.ro,,) >/dev/null'
	"$underlay" mark-clean --upper "$dir/upper"
	# Attached, the collector copied the rows of all that it looked at: they go.
	tap "$title: image 2 again: what was collected is swept" bash -o pipefail -c '
		"$1" db reconcile --upper "$3" --lower "$2" --mode "$4" --json | tee /dev/stderr |
		jq -e --arg mode "$4" ".clean and .databaseKept == (\$mode == \"rebuild\") and (.lowerChanged | not) and
			.counts.swept > 0 and (.counts | del(.swept) | add) == 0"' \
		_ "$underlay" "$dir/lower2/nix/.underlay/manifest" "$dir/upper" $mode
	"$underlay" mark-clean --upper "$dir/upper"
	tap "$title: image 2 again: nothing is done" bash -o pipefail -c '
		"$1" db reconcile --upper "$3" --lower "$2" --mode "$4" --json | tee /dev/stderr |
		jq -e ".clean and .databaseKept and (.lowerChanged | not) and (.counts | add) == 0"' \
		_ "$underlay" "$dir/lower2/nix/.underlay/manifest" "$dir/upper" $mode
	"$underlay" mark-clean --upper "$dir/upper"
	agree 1 >"$dir/report"
	tap_is "$title: back on image 1: what image 2 had itself is the machine's again" \
		"$(jq -r '.restored[]?.name' "$dir/report" | names)" early
	tap_is "$title: and nothing is lost by it" "$(jq -c '[.counts.quarantined, .counts.notes]' "$dir/report")" "[0,0]"
	tap "$title: image 1: all contents are right" on 1 "$check_all"
	tap "$title: image 1: its paths are valid, and early" on 1 "names='lib app same gone early'; $valid_names"
	tap "$title: image 1: early is what was built here" on 1 '
		line=$(ls -i /nix/.rw/kept/ | grep early$)
		grep -qxF "$line" /nix/.rw/built
		path=$(ls -d /nix/store/*-early)
		app=$(ls -d /nix/store/*-app)
		[ "$(nix-store -q --references $path)" = "$app" ] && [ -e "$app" ]'
	tap "$title: image 1: builds what is missing" on 1 '
		cd /tmp; nix-build /nix/.rw/world.nix -A own3 -A early --no-out-link'
	tap "$title: image 1: all contents are right in the end" on 1 "$check_all"
}

# The database of /nix as a whole, copied up under the old image and met by the new one.
copied_up() {
	make_upper
	cp -a "$dir"/lower1/nix/var/nix/db/* "$dir/upper/var/nix/db/" && chmod -R u+w "$dir/upper/var/nix/db"
	tap "$title: a database that was copied up under image 1" agree 2
	tap "$title: image 2: every path of it is valid" on 2 \
		'nix-store --query --hash $(ls -d /nix/.ro/nix/store/* | sed s,/nix/.ro,,) >/dev/null'
	tap "$title: image 2: and right" on 2 "$check_all"
}

for nix in 2.26 2.8; do
	case $nix in
	2.8) tree=$(cache_tree bookworm) modes=rebuild ;;
	2.26) tree=$(cache_tree trixie) modes="attach rebuild" ;;
	esac || exit 1
	rm -rf "$dir"/lower? "$dir"/made?
	tap "Nix $nix: image 1" make_lower 1 '' app gone same
	tap "Nix $nix: image 2: new and early are new, gone is gone, same is another" make_lower 2 other app same new early
	for mode in $modes; do
		title="Nix $nix, $mode"
		tap "$title: an upper on ext4" make_upper
		tap "$title: agrees with image 1" agree 1
		upgrade
		copied_up
	done
done

# ---- attributes of overlayfs ---------------------------------------------------------------------

mode=attach
make_upper
sealed=$(ls "$dir/lower2/nix/store" | head -n 1)
mkdir "$dir/upper/kept/$sealed" "$dir/upper/kept/alias"
echo evil | tee "$dir/upper/kept/$sealed/text" >"$dir/upper/kept/$sealed/more"
setfattr -n trusted.overlay.opaque -v y "$dir/upper/kept"
setfattr -n trusted.overlay.opaque -v y "$dir/upper/kept/$sealed"
setfattr -n trusted.overlay.redirect -v "/$sealed" "$dir/upper/kept/alias"
chattr +i "$dir/upper/kept/$sealed"
tap "attributes and flags that would hide or hold" agree 2
tap "the sealed path is served, and nothing beside it" on 2 "
	cmp -s /nix/.ro/nix/store/$sealed/text /nix/store/$sealed/text
	[ \"\$(ls /nix/store/$sealed)\" = text ]
	[ \"\$(ls /nix/store/alias && echo end)\" = end ]"
# A flag on what cannot be opened, so that nobody can take it off.
ln -s / "$dir/upper/kept/garbage"
umount "$dir/upper"
debugfs -w -R "set_inode_field kept/garbage flags 0x10" "$dir/upper.img" 2>"$dir/log"
mount -o loop,nosuid,nodev "$dir/upper.img" "$dir/upper"
cp -a "$dir"/lower2/nix/var/nix/db/* "$dir/upper/var/nix/db/" && chmod -R u+w "$dir/upper/var/nix/db"
# A name of any bytes gives JSON all the same. (jq itself mends what is not UTF-8.)
touch "$dir/upper/kept/"$'zz\377caf\303\251'
tap "a lower that the database was copied from" bash -c '"${@:2}" >"$1"' _ "$dir/report" \
	"$underlay" db reconcile --upper "$dir/upper" --lower "$dir/lower2/nix/.underlay/manifest" --json
tap "garbage that cannot be moved is named, and no reason to fail" \
	jq -e '.notes[0].name == "garbage" and .counts.swept == 2' "$dir/report"
for document in "$dir/report" "$dir/upper/report.json"; do
	tap "${document##*/} is UTF-8 though a name on the upper is not" bash -o pipefail -c '
		iconv -f UTF-8 -t UTF-8 "$1" | jq -e --arg name "$2" "any(.swept[]; .name == \$name)"' \
		_ "$document" $'zz\\xffcaf\303\251'
done
tap_end
