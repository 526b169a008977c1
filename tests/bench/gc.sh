#!/usr/bin/env bash
# What `underlay gc` costs: 10,000 paths of the upper's own over a sealed store, in both modes of the database, when a
# half of them is garbage (found, then removed, the kept layer's and the session's) and when nothing is. The overlay
# holds the own paths; of the sealed ones the database has the rows. Beside it, of a small sealed store only, Nix's own
# collector on the rebuilt database. All in memory. Prints a table, and writes build/bench-gc.json.
#
#   tests/bench/gc.sh [SEALED...]      (default: 1,000, 100,000 and 1,000,000)
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/namespace.sh
build=$(realpath "${BUILD:-build}")
bench_dir=$(mktemp -d /dev/shm/gc.XXXXXX) || exit 3
root=$bench_dir/root own=10000 rounds=${ROUNDS:-3}
trap 'umount "$root/nix/store"; rm -rf "$bench_dir"' EXIT
# shellcheck source=tests/bench/lib.sh
. tests/bench/lib.sh
sizes=("$@")
[ $# -gt 0 ] || sizes=(1000 100000 1000000)

state() { # MODE
	jq -n --arg mode "$1" --argjson paths "$size" '{format: 1, database: {mode: $mode}, lowers: [{mount: "/nix/.ro", store: "nix/store", $paths}],
		upper: {mount: "/nix/.rw", session: "sessions/1", persistent: true, guard: "checked"}}' >"$bench_dir/$1.json"
}
# fill MODE HALF: the own paths, four files each, half of them kept, and their rows: each refers to the one before, in
# chains of ten, and to three sealed ones. HALF: every second chain has a root; else each.
fill() {
	umount "$root/nix/store" 2>/dev/null
	rm -rf "$root/nix/.rw" "$root/nix/var" && mkdir -p "$root"/nix/{store,.rw/{kept,sessions/1/{up,work}},var/nix/{db,gcroots,profiles,temproots}} &&
		cp "$bench_dir/$1.sqlite" "$root/nix/var/nix/db/db.sqlite" && python3 - "$root/nix" "$own" "$size" "$1" "$2" <<'END' || exit 3
import os, sqlite3, sys
nix, own, sealed, mode, half = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5] == "half"
db = sqlite3.connect(f"{nix}/var/nix/db/db.sqlite")
name = lambda i: f"{i:032d}-own"
HASH = "sha256:" + "0" * 64
copies = []
if mode == "attach":
    # Rows of sealed paths come with those that refer to them, and each is asked for in the sealed store.
    lower = sqlite3.connect(f"file:{nix}/.ro/nix/var/nix/db/db.sqlite?immutable=1", uri=True)
    for number in range(300):
        path, = lower.execute("select path from ValidPaths where id = ?", (1 + number * (sealed // 300),)).fetchone()
        open(nix + "/.ro/nix/store/" + path.split("/")[-1], "w").close()
        copies.append(db.execute("insert into ValidPaths (path, hash, registrationTime) values (?, ?, 1)", (path, HASH)).lastrowid)
else:
    copies = [1 + number * (sealed // 300) for number in range(300)]
ids = []
for i in range(own):
    layer = "kept" if i % 2 else "sessions/1/up"
    os.makedirs(f"{nix}/.rw/{layer}/{name(i)}/bin")
    for f in ("bin/a", "bin/b", "c", "d"):
        with open(f"{nix}/.rw/{layer}/{name(i)}/{f}", "w") as out:
            out.write(name(i) * 20)
    ids.append(db.execute("insert into ValidPaths (path, hash, registrationTime, narSize) values (?, ?, ?, 5000)",
                          (f"/nix/store/{name(i)}", HASH, 1_700_000_000 + i)).lastrowid)
    refs = {copies[(i * k) % 300] for k in (1, 7, 13)} | ({ids[-2]} if i % 10 else set())
    db.executemany("insert into Refs values (?, ?)", [(ids[-1], r) for r in refs])
    if i % 10 == 9 and (i // 10 % 2 or not half):
        os.symlink(f"/nix/store/{name(i)}", f"{nix}/var/nix/gcroots/{i}")
db.commit()
END
	mount -t overlay overlay "$root/nix/store" -o "lowerdir=$root/nix/.ro/nix/store:$root/nix/.ro/nix/.underlay/names:$root/nix/.rw/kept,upperdir=$root/nix/.rw/sessions/1/up,workdir=$root/nix/.rw/sessions/1/work,index=off,metacopy=off,redirect_dir=nofollow,xino=off" ||
		exit 3
}
gc() { "$build/underlay" gc --json --root "$root" --file "$bench_dir/$mode.json" "$@"; }
rows() { sqlite3 "$root/nix/var/nix/db/db.sqlite" 'select count(*) from ValidPaths'; }
wanted() { # NAME GOT WANTED
	[ "$2" = "$3" ] || { echo "benchmark: $1: $2 instead of $3" >&2 && exit 3; }
}

# Attached, the upper's database begins without a row.
mkdir "$bench_dir/empty" && : | "$build/underlay" manifest create --registration /dev/stdin -o "$bench_dir/none" &&
	"$build/underlay" db build "$bench_dir/none" -o "$bench_dir/empty" && cp "$bench_dir/empty/db.sqlite" "$bench_dir/attach.sqlite" ||
	exit 3
for size in "${sizes[@]}"; do
	umount "$root/nix/store" 2>/dev/null
	rm -rf "$root" && mkdir -p "$root"/nix/.ro/nix/{store/.links,.underlay/names,var/nix/db}
	: >"$root/nix/.ro/nix/.underlay/names/.links"
	"$build/tests/bench/gen_store" "$size" "$size" --odd 0 -o "$bench_dir/manifest" &&
		"$build/underlay" db build "$bench_dir/manifest" -o "$root/nix/.ro/nix/var/nix/db" || exit 3
	cp "$root/nix/.ro/nix/var/nix/db/db.sqlite" "$bench_dir/rebuild.sqlite"
	for mode in attach rebuild; do
		state $mode
		fill $mode none
		before=$(rows)
		# Attached, copies of 300 sealed paths are rows of the upper's, too.
		all=$own
		[ $mode = rebuild ] || all=$((own + 300))
		for _ in $(seq "$rounds"); do
			bench_round "$size $mode: nothing is garbage" gc
			wanted "nothing goes" "$(jq -c '[.own, .dead, (.items | length)]' "$bench_dir/stdout")" "[$all,0,0]"
		done
		wanted "rows" "$(rows)" "$before"
		fill $mode half
		for _ in $(seq "$rounds"); do bench_round "$size $mode: half is garbage, found and measured" gc --dry-run; done
		for n in $(seq "$rounds"); do
			[ "$n" = 1 ] || fill $mode half
			bench_round "$size $mode: half is garbage, removed" gc
			wanted "half goes" "$(jq '.items | length' "$bench_dir/stdout")" $((own / 2))
			wanted "rows" "$(rows)" $((before - own / 2))
		done
	done
	if [ "$size" -le 1000 ] && [ -n "$(command -v nix-store)" ]; then
		fill rebuild half
		# Nix needs roots for what is sealed, and finds no files of it: one that refers to nothing will do here.
		bench_round "$size rebuild: half is garbage, removed by nix-store --gc" env NIX_CONFIG='build-users-group =' nix-store --store "local?root=$root" --gc
	fi
done
bench_table 1 | awk '{ $NF = ""; print }' | sed 's/ MB.*//'
bench_json "${OUT:-$build/bench-gc.json}" gc "own=$own"
