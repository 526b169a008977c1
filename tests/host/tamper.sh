#!/usr/bin/env bash
# The attack on the disk, outside QEMU (tests/tamper/tamper.c): tampered images are opened by the code that boots,
# and no byte may be served that was not signed. A sample here; `make check-tamper` sets TAMPER_FLIPS and
# TAMPER_OTHERS to all that the table in SECURITY.md tells of.
set -u
build=${BUILD:-build}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
# shellcheck source=tests/tamper/images.sh
. tests/tamper/images.sh

tamper_images "$dir" >"$dir/out" 2>&1
report $? "two signed images"
"$build/tests/tamper/tamper" --flips "${TAMPER_FLIPS:-1000}" --others "${TAMPER_OTHERS:-60}" \
	--seed "${TAMPER_SEED:-5}" --json "$build/tamper.json" "$dir/image.img" "$dir/other.img" \
	"$dir/signer.crt" >"$dir/out" 2>&1
status=$?
sed 's/^/# /' "$dir/out"
report $status "no byte is served that was not signed"
jq -e '.rows | length > 50 and (map(.BAD) | add) == 0 and (map(.refused) | add) > 500 and
	(map(.["read error"]) | add) > 50 and (map(.harmless) | add) > 50' "$build/tamper.json" >"$dir/out"
report $? "each outcome is there, in the JSON as well"
tap_end
