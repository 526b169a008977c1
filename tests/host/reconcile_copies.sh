#!/usr/bin/env bash
# An attached upper after Nix's own collector, which copies the row of every sealed path into its database: reconcile
# throws them away but for those that the upper's paths need, in a time that a boot has, and the next boot finds nothing
# to do.
set -u
cd "$(dirname "$0")/../.." || exit 1
underlay=$(realpath "${BUILD:-build}")/underlay
. tests/lib/tap.sh
dir=$(mktemp -d) || exit 1
tap_at_exit 'rm -rf "$dir"'
cd "$dir" || exit 1

# 20,000 paths, each with seven references on average; and one of the upper's, which refers to the first and the third.
own=00000000000000000000000000000000-own
python3 - 20000 $own >registration <<'END'
import hashlib, random, struct, sys
random.seed(7)
paths, closures = [], []
# What an empty directory is as a NAR: all paths are said to be one, and the upper's is.
words = (b"nix-archive-1", b"(", b"type", b"directory", b")")
nar = b"".join(struct.pack("<Q", len(w)) + w + bytes(-len(w) % 8) for w in words)
def tell(path, references):
    print(path, hashlib.sha256(nar).hexdigest(), len(nar), "", len(references), *references, sep="\n")
for i in range(int(sys.argv[1])):
    name = hashlib.sha256(b"path %d" % i).hexdigest()[:32].replace("e", "z")
    numbers = {int(i * random.random() ** 2) for _ in range(min(i, int(random.expovariate(1 / 7))))}
    closures.append({i}.union(*(closures[n] for n in numbers)) if i < 3 else set())
    paths.append("/nix/store/%s-package-%d" % (name, i))
    tell(paths[-1], sorted(paths[n] for n in numbers))
with open("needed", "w") as f:
    print(1 + len(closures[0] | closures[2]), file=f)
with open("own", "w") as sys.stdout:
    tell("/nix/store/" + sys.argv[2], sorted((paths[0], paths[2])))
END
rows() { sqlite3 upper/var/nix/db/db.sqlite 'select count(*) from ValidPaths'; }
reconcile() {
	/usr/bin/time -f '%U %S' -o took "$underlay" db reconcile --upper upper --lower lower --mode attach --json >report &&
		awk '{printf "%d\n", ($1 + $2) * 1000}' took >ms
}
# A database with the rows of both, as the collector leaves it.
fill() {
	rm -f upper/var/nix/db/* && "$underlay" db build both -o upper/var/nix/db >/dev/null &&
		"$underlay" mark-clean --upper upper >/dev/null
}

mkdir -p upper/kept/$own upper/var/nix/db
"$underlay" manifest create -o lower --registration registration >log 2>&1 &&
	"$underlay" manifest create -o both --registration <(cat registration own) >log 2>&1 && fill && reconcile
report $? "an upper with a row of each of 20,000 sealed paths is taken over" log
fill
tap_is "the collector left so many rows" "$(rows)" 20001
tap "reconcile runs" reconcile
tap "in less than a second of the processor's time" test "$(cat ms)" -lt 1000
tap_is "the upper's row and what it needs stay" "$(rows)" "$(cat needed)"
tap_is "none is invalidated, updated or quarantined" "$(jq -r '.counts | "\(.invalidated) \(.updated) \(.quarantined)"' report)" "0 0 0"
tap_is "the rows that stay are whole" "$(sqlite3 upper/var/nix/db/db.sqlite "pragma integrity_check; pragma foreign_key_check;
	select count(*) from Refs r join ValidPaths v on v.id = r.referrer where v.path like '%-own'" | xargs)" "ok 2"
"$underlay" mark-clean --upper upper >log 2>&1
report $? "the upper is marked clean" log
tap "it runs again" reconcile
tap "and the database is kept" jq -e .databaseKept report
tap_end
