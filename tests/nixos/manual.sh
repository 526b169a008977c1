#!/usr/bin/env bash
# The chapter of nixos-module/README.md, from an empty folder to a booted, signed and upgraded appliance: the commands
# that stand there are taken out of it and run in their order, by Nix 2.26 with flakes, in its sandbox, without a
# network.
#
# What is real: the commands, the template, the module with its image, initramfs, UKI and signature, package.nix, the
# machine that boots by UEFI firmware. What stands in: for nixpkgs a flake of the test's (tests/nixos/standin), whose
# packages lie in this machine's /usr, whose nixosSystem is a Debian under systemd with the units, Nix settings and
# packages of the configuration, and which takes the programs from what `make` built. The address of this repository
# leads to a copy, which has that nixpkgs as its input. QEMU is started by the tests' helper: emulated, with a limit of
# time, and with OVMF where Debian has it.
cd "$(dirname "$0")/../.." || exit 1
# In a mount namespace of its own, with a store of its own.
[ -n "${manual_inside:-}" ] || manual_inside=1 exec unshare --mount "$0"
for lib in tap cache appliance qemu image debian; do
	. "tests/lib/$lib.sh"
done
build=$(realpath "${underlay%/*}")
qemu_dir=$PWD/$qemu_dir/manual
work=$qemu_dir/home
rm -rf "$qemu_dir"
mkdir -p "$work"/{nix,bin,empty,underlay,nixpkgs} /nix
mount --bind "$work/nix" /nix || exit 1
version=6.12
modules=$(cache_modules $version) && system=$(debian_tree) && trixie=$(cache_tree trixie) || exit 1

# ---- what stands in ------------------------------------------------------------------------------

# This checkout, as the repository that the chapter's address names.
git ls-files -z | xargs -0 cp -P --parents -t "$work/underlay"
sed -i "s|github:NixOS/nixpkgs/nixos-unstable|path:$work/nixpkgs|" "$work/underlay/nixos-module/flake.nix"
export GIT_CONFIG_GLOBAL=$work/gitconfig
git config --global init.defaultBranch main
git config --global user.name tests
git config --global user.email tests@localhost
git config --global "url.file://$work/underlay.insteadOf" https://example.org/underlay
(cd "$work/underlay" && git init --quiet && git add -A && git commit --quiet -m copy) || exit 1
cp tests/nixos/standin/*.nix "$work/nixpkgs/"
cp -r tests/debian "$work/nixpkgs/debian"
cp tests/nixos/standin/scenario.sh "$work/nixpkgs/debian/"
cp "$system/usr/share/base-passwd/passwd.master" "$work/nixpkgs/debian/etc/passwd"
cp "$system/usr/share/base-passwd/group.master" "$work/nixpkgs/debian/etc/group"
# What the module sets is to come from the module.
sed -i '/^store = /d' "$work/nixpkgs/debian/etc/nix/nix.conf"
(cd "$work/nixpkgs/debian/etc/systemd/system" &&
	rm -r nix-daemon.service.d underlay-mark-clean.service multi-user.target.wants/underlay-mark-clean.service)
jq -n --arg build "$build" --arg kernel "$trixie" --arg version "${modules##*/}" --arg system "$system" \
	'{$build, $kernel, $version, $system}' >"$work/nixpkgs/here.json"

cat >"$work/bin/nix" <<END
#!/bin/bash
exec "$trixie/lib64/ld-linux-x86-64.so.2" --argv0 nix --library-path "$trixie/usr/lib/x86_64-linux-gnu" \\
	"$trixie/usr/bin/nix" "\$@"
END
cat >"$work/bin/qemu-system-x86_64" <<END
#!/usr/bin/env bash
PATH=$PATH qemu_dir=$qemu_dir boot=\$(cat "$work/boot")
. "$PWD/tests/lib/cache.sh"
. "$PWD/tests/lib/qemu.sh"
qemu_start=()
while [ \$# -gt 0 ]; do
	case \$1 in
	-nographic) shift ;;
	-accel) shift 2 ;;
	-m) qemu_memory=\$2 && shift 2 ;;
	-bios) qemu_start+=(-bios /usr/share/ovmf/OVMF.fd) && shift 2 ;;
	*) qemu_start+=("\$1") && shift ;;
	esac
done
qemu_take_slot && qemu_run "\$boot" 300
[ "\$(cat "$qemu_dir/\$boot.end")" = poweroff ]
END
chmod +x "$work"/bin/*

# ---- the chapter's commands ----------------------------------------------------------------------

awk -v out="$work/block-" '/^## / {within = /From nothing/} !within {next}
	/^```/ {fenced = !fenced; if (fenced) n++; next} fenced {print > out n}' nixos-module/README.md
tap_is "the chapter has its six blocks of commands" "$(cd "$work" && echo block-*)" \
	"block-1 block-2 block-3 block-4 block-5 block-6"

# run FILE: as its reader does, in the folder that was empty.
run() {
	(cd "$work/empty" && env -i PATH="$work/bin:$PATH" HOME="$work" TERM=dumb GIT_CONFIG_GLOBAL="$GIT_CONFIG_GLOBAL" NIX_CONFIG="
experimental-features = nix-command flakes
flake-registry =
substitute = false
build-users-group =
build-hook =
sandbox = true
sandbox-fallback = false
sandbox-paths = /bin /usr /lib /lib64 /etc/alternatives $build $trixie $system" bash -eu "$1")
}

# block N BOOT WHAT: run one, which boots a machine of that name or "". What comes after it needs what it made.
block() {
	echo "$2" >"$work/boot"
	tap "the chapter's step: $3" run "$work/block-$1"
	[ ! -e "$tap_dir/failed" ] || { [ -z "$2" ] || qemu_show "$2" && tap_end; }
}

# booted NAME VERSION: what the chapter promises of the system inside.
booted() {
	local name=$1 version=$2 results=$qemu_dir/$1.results
	sed -i 's/\r$//' "$results"
	sed -n '/^begin status$/,/^end status$/p' "$results" >"$work/$name.status"
	grep -E '^(ok|not ok) |^# ' "$results" | sed "s/^\(ok\|not ok\) - /\1 - $name: /" | tap_lines
	lacks -q '^not ok' "$results" || touch "$tap_dir/failed"
	tap_is "$name: the scenario came to its end" "$(tail -n 1 "$results")" "end scenario 0"
	tap_is "$name: systemd is content" "$(grep -E '^say (running|failed)' "$results")" "$(printf 'say running running\nsay failed ')"
	tap_is "$name: the host has the configuration's name" "$(sed -n 's/^say host //p' "$results")" thermostat
	tap_is "$name: the root is a tmpfs that root alone writes to" "$(sed -n 's/^say root //p' "$results")" "tmpfs 755"
	tap "$name: underlay status tells which image runs" grep -qE "thermostat[ _]$version" "$work/$name.status"
	tap "$name: underlay status tells who signed it" grep -q 'CN=My appliance' "$work/$name.status"
	tap "$name: underlay status tells how Nix has its database" grep -q '^database   attach in' "$work/$name.status"
	tap "$name: everything is unmounted at the end" grep -q 'underlay: shutdown: everything is unmounted' "$qemu_dir/$name.console"
	[ "$(tail -n 1 "$results")" = "end scenario 0" ] || qemu_show "$name"
}

block 1 "" "an empty folder becomes a flake"
tap_is "the folder has the template" "$(cd "$work/empty" && echo *)" "configuration.nix flake.nix"
block 2 "" "a key, and what git knows"
block 3 "" "image and UKI"
tap "there is an image" test -s "$work/empty/image/thermostat_1.0.raw"
tap "it is unsigned" fails 1 'empty' "$underlay" image verify "$work/empty/image/thermostat_1.0.raw" --cert "$work/empty/seal.crt"
tap "there is a UKI" test -s "$work/empty/uki/thermostat_1.0.efi"
tap_is "root-hash is the image's" "$(cat "$work/empty/image/root-hash")" \
	"$("$underlay" image inspect --json "$work/empty/image/thermostat_1.0.raw" | jq -r '.slots[0].rootHash')"
block 4 "" "the signature"
block 5 first "a look, and the boot"
booted first 1.0
block 6 upgraded "the upgrade"
booted upgraded 1.1

# The newer image's signature is gone: the machine goes on with the older one.
read -r start size <<<"$(image_partition "$work/empty/signed-1.1.raw" 3)"
dd if=/dev/zero of="$work/empty/signed-1.1.raw" bs=512 seek=$((start / 512)) count=$((size / 512)) conv=notrunc status=none
sed -n '/^qemu-system/,$p' "$work/block-6" >"$work/block-7"
block 7 fallback "the same machine, the newer image damaged"
booted fallback 1.0

# The other templates, which the chapter's first command names.
for template in device fleet; do
	printf 'mkdir ../%s; cd ../%s; cp ../empty/seal.crt .; git init; %s#%s; git add -A\n' $template $template \
		"$(sed "s/ *#.*//; s/'$//" "$work/block-1")" "$template'" >"$work/evaluate"
	echo 'nix eval --raw .#image.drvPath; nix eval --raw .#sign.drvPath' >>"$work/evaluate"
	tap "template $template: image and signer evaluate" run "$work/evaluate"
done
umount /nix
rm -rf "$work/nix"
tap_end
