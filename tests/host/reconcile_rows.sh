#!/usr/bin/env bash
# The list of odd rows (tests/lib/odd_rows.tsv) through `underlay db reconcile` in both modes, over the same image and
# over the next one: the verdict of the list, the same name and the same reason in both.
set -u
cd "$(dirname "$0")/../.." || exit 3
underlay=$(realpath "${BUILD:-build}/underlay")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

python3 - "$underlay" "$dir" tests/lib/odd_rows.tsv <<'END'
import hashlib, json, os, shutil, sqlite3, struct, subprocess, sys

underlay, top, odd_rows = sys.argv[1:]
store = "/nix/store/"
base, user, sealed = "c" * 32 + "-own", "b" * 32 + "-user", "d" * 32 + "-sealed"
why = {
    "malformed": "Nix could not have written its row, or the row cannot be read",
    "missing": "neither the lower nor the upper has it",
    "reference": "it refers to a path that is not valid any more",
    "vanished": "it refers to a path that this lower does not have",
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
            refs = f"1\n{store}{sealed}\n" if b == user else "0\n"
            text.write(f"{store}{b}\nsha256:{hashlib.sha256(data).hexdigest()}\n{len(data)}\n\n{refs}")
    run("manifest", "create", "-o", f"{top}/{name}", "--registration", f"{top}/{name}.txt")
    return f"{top}/{name}"


# An upper that agrees with the image: of what it has beside the path of the list, one needs the image's.
def filled(mode, lower, database):
    upper = f"{top}/upper-{mode}"
    os.makedirs(f"{upper}/kept")
    for entry in base, user:
        with open(f"{upper}/kept/{entry}", "w") as f:
            f.write(entry)
    shutil.copytree(database, f"{upper}/var/nix/db")
    run("db", "reconcile", "--upper", upper, "--lower", lower, "--mode", mode)
    os.unlink(f"{upper}/kept/{base}")
    return upper


def outcome(title, sql, mode, lower, agreed):
    upper = f"{top}/upper"
    shutil.rmtree(upper, ignore_errors=True)
    shutil.copytree(agreed, upper)
    db = sqlite3.connect(f"{upper}/var/nix/db/db.sqlite")
    this, that = (db.execute("select id from ValidPaths where path = ?", (store + b,)).fetchone()[0] for b in (base, sealed))
    for statement in ("update ValidPaths set deriver = path, sigs = 'k:a k:b', ca = 'text:sha256:x' where id = THIS", sql):
        db.executescript(statement.replace("THIS", str(this)).replace("SEALED", str(that)))
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
    rows = db.execute("select deriver, sigs, ca from ValidPaths where path not in (?, ?)", (store + user, store + sealed))
    rows = rows.fetchall()
    check = db.execute("pragma integrity_check").fetchone()[0]
    db.close()
    # Rows that were added or damaged for the sake of a reference are reported, too.
    gone = [(i["name"], i["why"]) for i in report.get("invalidated", []) if i["name"] not in ("x", user, sealed)]
    stripped = [c for c, value in zip(("deriver", "sigs", "ca"), rows[0] if rows else ()) if value is None]
    return gone, len(rows), stripped, check


lower, other, all_paths = manifest("lower", sealed), manifest("other"), manifest("all", base, user, sealed)
os.mkdir(f"{top}/db")
run("db", "build", all_paths, "-o", f"{top}/db")
agreed = {mode: filled(mode, lower, f"{top}/db") for mode in ("attach", "rebuild")}
failed, n_tests = False, 0
for line in open(odd_rows, encoding="utf-8"):
    if line.startswith("#"):
        continue
    title, verdicts, sql = line.rstrip("\n").split("\t")
    same, _, over_other = verdicts.partition("/")
    for image, verdict in (lower, same), (other, over_other or same):
        outcomes = [outcome(title, sql, mode, image, agreed[mode]) for mode in ("attach", "rebuild")]
        gone, n, stripped, check = outcomes[0]
        right = outcomes[0] == outcomes[1] and check == "ok"
        if verdict in why:
            right &= n == 0 and [w for _, w in gone] == [why[verdict]]
        else:
            right &= n == 1 and not gone and stripped == verdict.split()[1:]
        n_tests += 1
        print(f"{'ok' if right else 'not ok'} - {title}, over {os.path.basename(image)}: {verdict}")
        if not right:
            print(f"# attach:  {outcomes[0]}\n# rebuild: {outcomes[1]}")
            failed = True
print(f"1..{n_tests}")
sys.exit(failed)
END
