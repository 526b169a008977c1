#!/usr/bin/env bash
# The boot's stages over a directory that a host shares (a bind mount stands in for 9p): laid out as our image, a store
# alone, registered in a store path; a persistent upper over a directory that changes; and what `underlay status` says.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/lib/stages.sh
verify=("mode = insecure" "[lower]" "share = 9p:store")

make_tree "$tmp/own" || { echo "not ok - the directory is made" && exit 1; }
device=$tmp/own

for mode in attach rebuild; do
	export mode
	tap "laid out as our image, $mode: the store, the database, and what state.json says" run '
		set -e
		cmp "$root/nix/store/$library/file" <(echo library)
		echo new >"$root/nix/store/new"
		fails 1 "Read-only file system" touch "$root/nix/.ro/nix/store/new"
		[ "$(ls "$root/nix/var/nix/gcroots/underlay/lower0" | tr "\n" " ")" = \
			"$system $other " ]
		jq -e "[.database.mode, (.lowers[0] | .verified, .share, .name, .paths, .rootHash)] ==
			[\"$mode\", \"insecure\", \"9p:store\", \"demo\", 3, null]" "$run/state.json"' "" "[database]" "mode = $mode"
done
banner() {
	run true quiet "[log]" "level = error" >"$tmp/out" 2>&1
	cat "$tmp/out"
	grep -q '^underlay: verify: \*\*\* INSECURE: NOTHING OF THIS SYSTEM IS VERIFIED' "$tmp/out" &&
		grep -q 'the directory that the host shares as 9p:store: whoever' "$tmp/out" && [ "$(wc -l <"$tmp/out")" = 6 ]
}
tap "the banner, and nothing but it, on a console that shows errors only" banner
# status COMMAND PATTERN: ends with 1.
status() {
	local said
	said=$("$underlay" "$1" --file "$run/state.json")
	[ $? = 1 ] && grep -qE "$2" <<<"$said"
}
tap "underlay status ends with 1 and begins with it" status status '^INSECURE   NOTHING OF THIS SYSTEM IS VERIFIED'
tap "and says it of the lower, which has no root hash" status status '^  INSECURE nothing of it is verified'
tap "underlay timeline ends with 1 too" status timeline '^total'

# A host's own store: the registration lies in a store path, which is at the root of what is shared.
mkdir -p "$tmp/plain"
cp -a "$tmp/own/nix/store/." "$tmp/plain"
closure=44444444444444444444444444444444-closure-info
mkdir "$tmp/plain/$closure"
{
	record $system $system $library
	record $library
} >"$tmp/plain/$closure/registration"
device=$tmp/plain
system_line=("[system]" "path = /nix/store/$system")
tap "a store alone, registered in one of its paths" run '
	set -e
	cmp "$root/nix/store/$library/file" <(echo library)
	jq -e "[.database.mode, .lowers[0].paths, .lowers[0].store] == [\"rebuild\", 2, \".\"]" "$run/state.json"' \
	"" "registration = /nix/store/$closure/registration" "${system_line[@]}"
refused "a registration in a store path that is not there" 25 'lower: .*reading the registration: \./00000000000000000000000000000000-no/registration: the image does not have it' \
	"" "registration = /nix/store/00000000000000000000000000000000-no/registration" "${system_line[@]}"
tap "a store alone that nobody registered" run 'jq -e ".database.mode == \"none\"" "$run/state.json"' \
	"" "manifest = optional" "${system_line[@]}"
refused "the same where a registration is required" 25 'lower: .*9p:store: it has neither a manifest nor a registration' "" "${system_line[@]}"
refused "a name, which nothing tells" 14 'lower: .*9p:store: the policy wants demo, .*Unset \[image\] name' \
	"" "registration = /nix/store/$closure/registration" "${system_line[@]}" "[image]" "name = demo"

# ---- a persistent upper --------------------------------------------------------------------------

truncate -s 64M "$tmp/upper.disk"
attach_device "$tmp/upper.disk"
disk=$device device=$tmp/own
upper=("[upper]" "type = disk" "device = $disk" "prepare = format" "[database]" "mode = rebuild")
tap "a persistent upper is made" run '
	set -e
	jq -e ".upper.fresh and .reconcile.lowerChanged" "$run/state.json"
	grep -q "\"identity\": *\"manifest:[0-9a-f]*\"" "$root/nix/.rw/lower.json"
	"$underlay" mark-clean --upper "$root/nix/.rw"' "" "${upper[@]}"
tap "the same directory is the same lower" run '
	set -e
	jq -e "(.reconcile.lowerChanged | not) and .database.kept" "$run/state.json"
	"$underlay" mark-clean --upper "$root/nix/.rw"
	mkdir "$root/nix/.rw/kept/$library"; echo evil >"$root/nix/.rw/kept/$library/file"' "" "${upper[@]}"
rm "$tmp/own/nix/store/$other"
"$underlay" manifest create -o "$tmp/own/nix/.underlay/manifest" --registration <(
	record $system $system $library
	record $library
) >/dev/null
tap "a directory whose manifest is another is another lower; nothing of the upper hides it" run '
	set -e
	jq -e ".reconcile.lowerChanged and .reconcile.counts.quarantined == 1" "$run/state.json"
	[ ! -e "$root/nix/.rw/kept/$library" ]
	[ "$(sqlite3 "$root/nix/var/nix/db/db.sqlite" "select count(*) from ValidPaths")" = 2 ]
	cmp "$root/nix/store/$library/file" <(echo library)' "" "${upper[@]}"
device=$tmp/plain
refused "a persistent upper over a store that nobody registered" 25 'reconcile: .*9p:store: an upper on a disk can only be compared' \
	"" "manifest = optional" "${system_line[@]}" "${upper[@]}"

# ---- what does not lead there --------------------------------------------------------------------

device=$tmp/own
refused "a parameter that asks for the mode" 11 'policy: .*underlay.verify=insecure: who decides what is trusted' "underlay.verify=insecure"
refused "a parameter that asks for a share" 11 "policy: .*underlay.share=9p:other: .*only the initramfs' own policy" "underlay.share=9p:other"
refused "a pin on the command line, which could not hold" 11 'policy: .*the command line demands what nothing can hold' "usrhash=$(printf '%064d' 1)"
verify=("mode = pinned" "root-hash = $(printf '%064d' 1)")
refused "a directory under a policy that verifies, however it came there" 10 "device: choosing what to verify: the shared directory 9p:store: the policy's \[verify\] mode = pinned starts a verified image only"
verify=("mode = user" "[lower]" "share = 9p:store")
refused "a share under a policy that verifies" 10 "policy: .*mode = user demands a lower that is verified, and nothing can verify a directory that the host shares"
tap_end
