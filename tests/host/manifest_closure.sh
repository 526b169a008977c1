#!/usr/bin/env bash
# A builder's database as machines have them: rows that Nix itself builds and copies beside. The closure that is wanted
# is taken all the same; where all of the database is, or the closure needs such a row, it is refused by name.
set -u
build=${BUILD:-build}
cd "$(dirname "$0")/../.." || exit 1
underlay=$PWD/$build/underlay
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
cd "$dir" || exit 1

hash=0000000000000000000000000000000000000000000000000000000000000007
good=/nix/store/11111111111111111111111111111111-good
other=/nix/store/22222222222222222222222222222222-x
printf '%s\n%s\n120\n\n0\n' $good $hash | "$underlay" manifest create -o m --registration - || exit 1
ln -s $good result

spoil() { # SQL: a database with the good path and this
	rm -rf db && mkdir db && "$underlay" db build m -o db >/dev/null && sqlite3 db/db.sqlite "$1"
}
closure_is_taken() {
	"$underlay" manifest create -o out.m --database db/db.sqlite --closure $good >out 2>&1 &&
		"$underlay" manifest show --json out.m | jq -e '.paths == 1' >/dev/null
}
row() { echo "insert into ValidPaths (path, hash, registrationTime, narSize, deriver) values ('$1', 'sha256:$hash', 1, 120, $2);"; }
beside() { # NAME SQL PATTERN-OF-THE-REFUSAL
	spoil "$2" || exit 1
	tap "$1: beside the closure" closure_is_taken
	tap "$1: where all is wanted" fails 1 "$3" "$underlay" manifest create -o out.m --database db/db.sqlite
}
beside "another store directory" "$(row /foo$other null)" "^underlay: .*/foo$other: it does not lie in the store directory"
beside "a flipped bit" "$(row /oix/store/22222222222222222222222222222222-x null)" "/oix/store/.*: it does not lie in"
beside "an empty name" "$(row /nix/store/22222222222222222222222222222222- null)" "it is not a valid store path"
beside "an output with an empty name" "$(row $other.drv null)
	insert into DerivationOutputs select id, 'out', '/nix/store/33333333333333333333333333333333-' from ValidPaths
	where path like '%.drv'" "it is not a valid store path"
beside "a hash that is none" "$(row $other null) update ValidPaths set hash = 'x' where path = '$other'" "$other: its hash is not"
tap "the row is named" grep -q "^underlay: note: .*$other: its hash is not.*the closure does not need it" out
tap "a closure that needs it is refused" \
	fails 1 "$other: its hash is not" "$underlay" manifest create -o out.m --database db/db.sqlite --closure $other

spoil "update ValidPaths set deriver = 'unknown-deriver'" || exit 1
tap "a deriver that is no path is left out" closure_is_taken
tap "and that is said" grep -q "^underlay: note: $good: its deriver \"unknown-deriver\" is not a store path" out
spoil "$(row $other "'/nix/store/33333333333333333333333333333333-'")" || exit 1
tap "a deriver of another path" closure_is_taken
tap "is nobody's concern" test ! -s out

by_link() { "$underlay" manifest create -o linked.m --database db/db.sqlite --closure "$1" && same linked.m out.m; }
tap "--closure follows ./result" by_link ./result
tap "--closure takes the path that a file lies in" by_link result/bin/sh
tap "a link that leads elsewhere is refused" fails 1 "does not lead into the store directory /nix/store" by_link .
tap "manifest show follows a link" sh -c "'$underlay' manifest show m result | grep -q '^$good$'"
mkdir -p store/"${good##*/}" && touch store/"${good##*/}/init"
tap "image build --system follows a link" "$underlay" image build -o i --name n --version 1 --compression none \
	--database db/db.sqlite --system ./result --closure ./result --store store
tap "and seals the path that it leads to" grep -a -q "\"system\": *\"$good\"" i
tap_end
