#!/usr/bin/env bash
# The list of odd rows (tests/lib/odd_rows.tsv) through `underlay db reconcile` in both modes: the verdict of the
# list, the same name and the same reason in both.
set -u
cd "$(dirname "$0")/../.." || exit 3
underlay=$(realpath "${BUILD:-build}/underlay")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

python3 - "$underlay" "$dir" tests/lib/odd_rows.tsv <<'END'
import hashlib, json, os, shutil, sqlite3, struct, subprocess, sys

underlay, top, odd_rows = sys.argv[1:]
store = "/nix/store/"
base, sealed = "c" * 32 + "-own", "d" * 32 + "-sealed"
why = {
    "malformed": "Nix could not have written its row, or the row cannot be read",
    "missing": "neither the lower nor the upper has it",
    "reference": "it refers to a path that is not valid any more",
}


def run(*arguments):
    done = subprocess.run([underlay, *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{arguments}: {done.stdout}{done.stderr}")
    return done.stdout


def nar(contents):
    texts = b"nix-archive-1", b"(", b"type", b"regular", b"contents", contents, b")"
    return b"".join(struct.pack("<Q", len(t)) + t + bytes(-len(t) % 8) for t in texts)


def manifest(name, *bases):
    with open(f"{top}/{name}.txt", "w") as text:
        for b in bases:
            data = nar(b.encode())
            text.write(f"{store}{b}\nsha256:{hashlib.sha256(data).hexdigest()}\n{len(data)}\n\n0\n")
    run("manifest", "create", "-o", f"{top}/{name}", "--registration", f"{top}/{name}.txt")
    return f"{top}/{name}"


def outcome(title, sql, mode, lower, database):
    upper = f"{top}/upper"
    shutil.rmtree(upper, ignore_errors=True)
    os.makedirs(f"{upper}/kept")
    shutil.copytree(database, f"{upper}/var/nix/db")
    db = sqlite3.connect(f"{upper}/var/nix/db/db.sqlite")
    this = db.execute("select id from ValidPaths where path = ?", (store + base,)).fetchone()[0]
    for statement in ("update ValidPaths set deriver = path, sigs = 'k:a k:b', ca = 'text:sha256:x' where id = THIS", sql):
        db.executescript(statement.replace("THIS", str(this)))
    path = db.execute("select path from ValidPaths where id = ?", (this,)).fetchone()[0]
    db.commit()
    db.close()
    path = path.decode() if isinstance(path, bytes) else path
    if not title.startswith("no entry"):
        entry = path.split("\0")[0].rsplit("/", 1)[-1]
        if entry and len(entry) < 256:
            with open(f"{upper}/kept/{entry}", "w") as f:
                f.write(base)
    report = json.loads(run("db", "reconcile", "--upper", upper, "--lower", lower, "--mode", mode, "--json"))
    db = sqlite3.connect(f"{upper}/var/nix/db/db.sqlite")
    rows = db.execute("select deriver, sigs, ca from ValidPaths where path not like ?", ("%" + sealed,)).fetchall()
    check = db.execute("pragma integrity_check").fetchone()[0]
    db.close()
    # A row that was added for the sake of a reference is reported, too.
    gone = [(i["name"], i["why"]) for i in report.get("invalidated", []) if i["name"] != "x"]
    stripped = [c for c, value in zip(("deriver", "sigs", "ca"), rows[0] if rows else ()) if value is None]
    return gone, len(rows), stripped, check


lower, all_paths = manifest("lower", sealed), manifest("all", base, sealed)
os.mkdir(f"{top}/db")
run("db", "build", all_paths, "-o", f"{top}/db")
failed, n_tests = False, 0
for line in open(odd_rows, encoding="utf-8"):
    if line.startswith("#"):
        continue
    title, verdict, sql = line.rstrip("\n").split("\t")
    outcomes = [outcome(title, sql, mode, lower, f"{top}/db") for mode in ("attach", "rebuild")]
    gone, n, stripped, check = outcomes[0]
    right = outcomes[0] == outcomes[1] and check == "ok"
    if verdict in why:
        right &= n == 0 and [w for _, w in gone] == [why[verdict]]
    else:
        right &= n == 1 and not gone and stripped == verdict.split()[1:]
    n_tests += 1
    print(f"{'ok' if right else 'not ok'} - {title}: {verdict}")
    if not right:
        print(f"# attach:  {outcomes[0]}\n# rebuild: {outcomes[1]}")
        failed = True
print(f"1..{n_tests}")
sys.exit(failed)
END
