# Makes the store that is sealed, by Nix in a Debian tree whose /nix is empty. /mnt: the files beside this one, and
# Nix's remount hook. Prints the system's path.
set -eu
export NIX_CONFIG='build-users-group =
sandbox = false
substitute = false
experimental-features = nix-command ca-derivations'
build() { nix-build --no-out-link "$@" 2>/tmp/log || { cat /tmp/log >&2 && return 1; }; }
build /mnt/sealed.nix -A addressedUser -A alone >/tmp/built
build -E '(import /mnt/sealed.nix).system /mnt/underlay-remount'
nix-store --generate-binary-cache-key day-1 /tmp/secret-key /tmp/public-key
nix store sign --all --key-file /tmp/secret-key
