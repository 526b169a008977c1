#!/bin/bash
# Make the appliance's store with the Nix of the Debian tree this runs in (see tests/lib/appliance.sh).
#   build-store.sh RECIPE OUT [RELEASE]     /nix is empty and becomes the store; OUT gets what is told about it:
#   system         the path of the system that boots
#   extra          a path that the system does not refer to
#   registration   what `nix-store --dump-db` says of every path
#   path-info      what `nix path-info --json` says of every path
#   public-key     of the key that signed every path, in Nix's form
set -euo pipefail
recipe=$1 out=$2 release=${3:-}

# One user builds: root, in the tree itself, with nothing from the network.
export NIX_CONFIG='build-users-group =
sandbox = false
substitute = false
keep-derivations = true
experimental-features = nix-command'
export NIX_REMOTE=

"$recipe/list-libraries.sh" >/tmp/facts.json
[ -z "$release" ] || echo "$release" >/tmp/release
nix-build "$recipe/default.nix" --argstr facts /tmp/facts.json --arg recipe "$recipe" --argstr release "$release" \
	-A system -o /nix/var/nix/gcroots/system -j 2 --no-build-output >"$out/system"
# Sealed like all else, so no collector on the appliance may touch it.
echo "Referred to by nothing." >/tmp/extra.txt
nix-store --add /tmp/extra.txt >"$out/extra"
ln -s "$(cat "$out/extra")" /nix/var/nix/gcroots/extra
nix-collect-garbage >/dev/null

nix-store --generate-binary-cache-key appliance-1 /tmp/secret-key "$out/public-key"
nix store sign --all --key-file /tmp/secret-key
nix-store --verify --check-contents
nix-store --dump-db >"$out/registration"
nix path-info --json --all >"$out/path-info"
