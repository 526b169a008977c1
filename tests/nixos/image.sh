#!/usr/bin/env bash
# nixos-module/image.nix in Nix's own sandbox, as a user who is not root: no network, no loop devices, no mounts. It
# makes the image, byte for byte, that `underlay image build` makes outside of the sandbox from the same closure.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
build=$(realpath "${BUILD:-build}")
dir=$(mktemp -d)
tap_at_exit 'rm -rf "$dir"'

# In a mount namespace of its own, /nix is empty: this machine's store, if it has one, is not touched.
cat >"$dir/inside" <<'END'
set -eu
build=$1 dir=$2
mount -t tmpfs tmpfs /nix 2>/dev/null || { mkdir -p /nix && mount -t tmpfs tmpfs /nix; }
export NIX_REMOTE= HOME=$dir NIX_CONFIG="
sandbox = true
sandbox-fallback = false
sandbox-paths = /bin /usr /lib /lib64 /etc/alternatives $build
build-users-group =
substitute = false
experimental-features = nix-command"
system=$(nix-build tests/nixos/standin/closure.nix --no-out-link)
echo "$system" >"$dir/system"
pkgs="import ./tests/nixos/standin/build-pkgs.nix { underlay = \"$build\"; }"
# The build tells of what the sandbox lacks, lest the test pass without one.
nix-build -E "($pkgs).runCommand \"sandbox\" { __structuredAttrs = true; } ''
  { id -u; ls /dev/loop* /dev/loop-control 2>/dev/null || echo no loop devices
    ls /sys/class/net 2>/dev/null || sed 1,2d /proc/net/dev | sed 's/:.*//; s/ //g'
    mount -t tmpfs tmpfs /tmp 2>/dev/null && echo mounts || echo no mounts; } >\$out''" --no-out-link >"$dir/sandbox"
cp "$(cat "$dir/sandbox")" "$dir/sandbox"
for variant in plain squashfs; do
	format=erofs
	[ $variant = plain ] || format=$variant
	nix-build nixos-module/image.nix --arg pkgs "$pkgs" --argstr underlay "$build" --argstr system "$system" \
		--argstr name tiny --argstr version 1.0 --argstr filesystem $format --no-out-link >"$dir/$variant.path"
	cp -r "$(cat "$dir/$variant.path")" "$dir/$variant"
	"$build/underlay" image build -o "$dir/$variant.raw" --system "$system" --portable --name tiny --version 1.0 \
		--format $format
done
END
unshare --mount bash "$dir/inside" "$build" "$dir" >"$dir/out" 2>&1
report $? "image.nix builds in Nix's sandbox"
cp "$dir/sandbox" "$dir/out" 2>/dev/null
printf '1000\nno loop devices\nlo\nno mounts\n' | diff - "$dir/sandbox" >"$dir/out" 2>&1
report $? "that sandbox has no root, no loop devices, no network, no mounts"
for variant in plain squashfs; do
	cmp "$dir/$variant/tiny_1.0.raw" "$dir/$variant.raw" >"$dir/out" 2>&1
	report $? "$variant: the image is the same, byte for byte, as one that is built outside"
done
equal "$(cat "$dir/plain/root-hash")" "$("$build/underlay" image inspect --json "$dir/plain.raw" | jq -r '.slots[0].rootHash')"
report $? "root-hash is the image's"
tap_end
