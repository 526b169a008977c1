#!/usr/bin/env python3
"""gc_graphs.py UNDERLAY DIR FROM COUNT: random stores, and what is garbage in them: `underlay gc` against `nix-store --gc
--print-dead`. To be run as root in a mount namespace of its own; DIR is an empty directory in memory.

Each store is a real overlay: a sealed store with its names, a kept layer and a session's, with references, derivers, outputs of
derivations, sealed and own; roots of every kind; entries without rows. Nix sees it as a plain store, with a root for each sealed
path. Asked are a rebuilt database, the same with Nix, and an attached one; then the garbage goes, and Nix has to find the store
right and none left. Prints "seed: what" for each difference, and a summary; exit status 1 where there is a difference."""
import fcntl
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys

DIGITS = "0123456789abcdfghijklmnpqrsvwxyz"
STORE = "/nix/store"
UNDERLAY, TOP = sys.argv[1], sys.argv[2]
ENV = dict(os.environ, NIX_CONFIG="build-users-group =\nsandbox = false", HOME=TOP)
seen = {"stores": 0, "dead": 0, "alive": 0, "own": 0}


def run(*command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(ENV, **more))
    if done.returncode != 0:
        raise RuntimeError(f"{command}: status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


class Store:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.root = f"{TOP}/{seed}"
        self.ro, self.rw = f"{self.root}/nix/.ro", f"{self.root}/nix/.rw"
        self.state = f"{self.root}/nix/var/nix"
        self.session = "sessions/00000001-0123456789abcdef"
        self.settings = {"keep-outputs": self.r.random() < 0.4, "keep-derivations": self.r.random() < 0.7}
        self.held, self.process = [], None
        self.volatile = self.r.random() < 0.25  # a tmpfs: there is no kept layer
        self.make_paths()

    def name(self, suffix):
        return "".join(self.r.choice(DIGITS) for _ in range(32)) + "-" + suffix

    def make_paths(self):
        r = self.r
        n_sealed, n_own = r.randint(1, 25), r.randint(0, 40)
        self.sealed, self.own, self.refs, self.outputs, self.deriver = [], [], set(), [], {}
        for i in range(n_sealed):
            self.sealed.append(self.name(f"s{i}" + (".drv" if r.random() < 0.3 else "")))
        for i in range(n_own):
            self.own.append(self.name(f"o{i}" + (".drv" if r.random() < 0.35 else "")))
        every = self.sealed + self.own
        for i, path in enumerate(every):
            first = self.sealed if i < n_sealed else every
            for other in r.sample(first[:i] or first[:1], min(i, r.choice((0, 1, 1, 2, 4)))):
                self.refs.add((path, other))
            if r.random() < 0.2:
                self.refs.add((path, path))
        plain = [p for p in every if not p.endswith(".drv")]
        for drv in (p for p in every if p.endswith(".drv")):
            for number, output in enumerate(r.sample(plain, min(len(plain), r.randint(0, 2)))):
                self.outputs.append((drv, f"out{number}", output))
                if r.random() < 0.7:
                    self.deriver.setdefault(output, drv)
            if r.random() < 0.2:
                self.outputs.append((drv, "never", self.name("never-built")))
        for path in plain:
            if path not in self.deriver and r.random() < 0.1:
                self.deriver[path] = self.name("gone.drv")
        self.time = {p: 1_600_000_000 + r.randint(0, 50) for p in every}

    def fill(self, directory, name):
        path = f"{directory}/{name}"
        if self.r.random() < 0.3:
            with open(path, "w") as f:
                f.write(name)
        elif self.r.random() < 0.1:
            os.symlink("nowhere", path)
        else:
            os.makedirs(f"{path}/deep", mode=0o755)
            with open(f"{path}/deep/file", "w") as f:
                f.write(name)
            os.chmod(f"{path}/deep", 0o555)
            os.chmod(path, 0o555)

    def make_files(self):
        r = self.r
        for d in (f"{self.ro}/nix/store/.links", f"{self.ro}/nix/.underlay/names", f"{self.ro}/nix/var/nix/db", f"{self.rw}/kept",
                  f"{self.rw}/{self.session}/up", f"{self.rw}/{self.session}/work", f"{self.root}/nix/store",
                  f"{self.root}/etc/nix", f"{self.state}/gcroots/auto", f"{self.state}/gcroots/underlay", f"{self.state}/profiles/per-user/alice",
                  f"{self.state}/temproots", f"{self.state}/db", f"{self.root}/home"):
            os.makedirs(d)
        for name in self.sealed:
            self.fill(f"{self.ro}/nix/store", name)
        for name in os.listdir(f"{self.ro}/nix/store"):
            if os.path.isdir(f"{self.ro}/nix/store/{name}") and not os.path.islink(f"{self.ro}/nix/store/{name}"):
                open(f"{self.ro}/nix/.underlay/names/{name}", "w").close()
        layers = (f"{self.rw}/{self.session}/up",) if self.volatile else (f"{self.rw}/kept", f"{self.rw}/{self.session}/up")
        for name in self.own:
            self.fill(r.choice(layers), name)
        self.strays = [self.name("stray") for _ in range(r.randint(0, 4))]
        for name in self.strays:
            self.fill(r.choice(layers), name)
        # What a sealed name hides is another image's: it stays.
        for name in r.sample(self.sealed, min(2, len(self.sealed))):
            self.fill(f"{self.rw}/kept", name)
        run("mount", "-t", "overlay", "overlay", f"{self.root}/nix/store", "-o",
            f"lowerdir={self.ro}/nix/store:{self.ro}/nix/.underlay/names{'' if self.volatile else f':{self.rw}/kept'},upperdir={self.rw}/{self.session}/up,"
            f"workdir={self.rw}/{self.session}/work,index=off,metacopy=off,redirect_dir=nofollow,xino=off")

    def make_roots(self):
        r, gcroots = self.r, f"{self.state}/gcroots"
        # With derivers and outputs alive by them, a few roots go a long way.
        some = lambda most: r.sample(self.own, min(len(self.own), r.randint(0, most)))
        for name in self.sealed:
            os.symlink(f"{STORE}/{name}", f"{gcroots}/underlay/{name}")
        for number, name in enumerate(some(2)):
            os.symlink(f"{STORE}/{name}" + r.choice(("", "/bin/x")), f"{gcroots}/direct-{number}")
        for number, name in enumerate(some(2)):
            os.symlink(f"{STORE}/{name}", f"{self.root}/home/result-{number}")
            os.symlink(f"{self.root}/home/result-{number}", f"{gcroots}/auto/{number}")
        for number, name in enumerate(some(2)):
            os.symlink(f"{STORE}/{name}", f"{self.state}/profiles/per-user/alice/profile-{number}-link")
            os.symlink(f"profile-{number}-link", f"{self.state}/profiles/per-user/alice/profile-{number}")
        for name in some(1):
            open(f"{gcroots}/{name}", "w").close()
        os.symlink("/nowhere/at/all", f"{gcroots}/auto/stale")
        os.symlink(f"{STORE}/{self.name('invalid')}", f"{gcroots}/invalid")
        for name in self.strays[:1]:
            os.symlink(f"{STORE}/{name}", f"{gcroots}/stray")
        # A builder that runs, one that has died.
        for number, alive in ((100, True), (200, False)):
            with open(f"{self.state}/temproots/{number}", "w") as f:
                for name in some(1) + ([self.strays[-1][:33] + "other.lock"] if self.strays and alive and r.random() < 0.5 else []):
                    f.write(f"{STORE}/{name}\0")
            if alive:
                lock = open(f"{self.state}/temproots/{number}", "r+")
                fcntl.flock(lock, fcntl.LOCK_EX)
                self.held.append(lock)
        used = some(1)
        if used:
            self.process = subprocess.Popen(["sleep", "600"], env={"USED": f"a:{STORE}/{used[0]}/bin:b"})
        with open(f"{self.root}/etc/nix/nix.conf", "w") as f:
            f.write("include more.conf\n!include /not/there\n")
        with open(f"{self.root}/etc/nix/more.conf", "w") as f:
            for key, value in self.settings.items():
                f.write(f"{key} = {str(value).lower()} # so\n")

    def write_database(self, path, paths, ids):
        shutil.copyfile(f"{TOP}/template.sqlite", path)
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("begin")
        for p in paths:
            deriver = self.deriver.get(p)
            db.execute("insert into ValidPaths (id, path, hash, registrationTime, deriver, narSize) values (?, ?, ?, ?, ?, ?)",
                       (ids[p], f"{STORE}/{p}", "sha256:" + "0" * 64, self.time[p], f"{STORE}/{deriver}" if deriver else None, 100))
        for a, b in self.refs:
            if a in ids and b in ids:
                db.execute("insert into Refs values (?, ?)", (ids[a], ids[b]))
        for drv, output, p in self.outputs:
            if drv in ids:
                db.execute("insert into DerivationOutputs values (?, ?, ?)", (ids[drv], output, f"{STORE}/{p}"))
        db.execute("commit")
        db.close()

    def make_databases(self):
        # Rebuilt: the sealed ones first. What was deleted since leaves holes.
        self.ids = {p: i + 1 for i, p in enumerate(self.sealed)}
        number = len(self.sealed)
        for p in self.own:
            number += self.r.randint(1, 3)
            self.ids[p] = number
        self.write_database(f"{self.state}/db/db.sqlite", self.sealed + self.own, self.ids)
        shutil.copyfile(f"{TOP}/template.schema", f"{self.state}/db/schema")
        # Attached: of the sealed ones those that own ones refer to, and what these refer to, in any order.
        self.write_database(f"{self.ro}/nix/var/nix/db/db.sqlite", self.sealed, {p: i + 1 for i, p in enumerate(self.sealed)})
        copied = {b for a, b in self.refs if a in self.own and b in self.sealed}
        for p in reversed(self.sealed):
            copied |= {b for a, b in self.refs if a == p and p in copied}
        rows = self.own + sorted(copied)
        self.r.shuffle(rows)
        os.makedirs(f"{self.root}/attached/db")
        self.write_database(f"{self.root}/attached/db/db.sqlite", rows, {p: i + 1 for i, p in enumerate(rows)})

    def write_state(self, mode):
        with open(f"{self.root}/{mode}.json", "w") as f:
            json.dump({"format": 1, "lowers": [{"mount": "/nix/.ro", "store": "nix/store", "paths": len(self.sealed)}],
                       "database": {"mode": mode}, "upper": {"mount": "/nix/.rw", "session": self.session, "guard": "checked", "persistent": not self.volatile}}, f)

    def collect(self, mode, *more):
        return json.loads(run(UNDERLAY, "gc", "--json", "--root", self.root, "--file", f"{self.root}/{mode}.json", *more))

    def nix(self, *command):
        settings = "\n".join(f"{k} = {str(v).lower()}" for k, v in self.settings.items())
        return run("nix-store", "--store", f"local?root={self.root}", *command, NIX_CONFIG=ENV["NIX_CONFIG"] + "\n" + settings)

    def dead_of_nix(self):
        return {line[len(STORE) + 1:] for line in self.nix("--gc", "--print-dead").split()}

    def attached(self):
        """The attached database in the rebuilt one's place, for a look."""
        os.rename(f"{self.state}/db", f"{self.state}/rebuilt")
        os.rename(f"{self.root}/attached/db", f"{self.state}/db")
        try:
            return self.collect("attach", "--dry-run")
        finally:
            os.rename(f"{self.state}/db", f"{self.root}/attached/db")
            os.rename(f"{self.state}/rebuilt", f"{self.state}/db")

    def rows(self):
        db = sqlite3.connect(f"{self.state}/db/db.sqlite")
        rows = {path[len(STORE) + 1:] for path, in db.execute("select path from ValidPaths")}
        wrong = db.execute("pragma foreign_key_check").fetchall() + [r for r in db.execute("pragma integrity_check") if r != ("ok",)]
        db.close()
        return rows, wrong

    def check_order(self, items):
        """Referrers first; of those that may go the oldest."""
        place = {item["name"]: i for i, item in enumerate(items)}
        for a, b in self.refs:
            if a != b and a in place and b in place and place[a] > place[b]:
                yield f"{b} goes before {a}, which refers to it"
        done = set()
        for item in items:
            free = [i["name"] for i in items if i["name"] not in done and not any(
                b == i["name"] and a != b and a in place and a not in done for a, b in self.refs)]
            if self.time.get(item["name"], 0) > min(self.time.get(name, 0) for name in free):
                yield f"{item['name']} goes before an older one"
            done.add(item["name"])

    def differences(self):
        first = self.collect("rebuild", "--dry-run")
        ours = {item["name"] for item in first["items"]}
        nixs = self.dead_of_nix()
        seen["stores"] += 1
        seen["dead"] += len(nixs)
        seen["own"] += len(self.own)
        seen["alive"] += len(self.own) - len(nixs & set(self.own))
        if ours != nixs:
            yield f"rebuild: Nix alone: {sorted(nixs - ours)}, we alone: {sorted(ours - nixs)}"
        attached = {item["name"] for item in self.attached()["items"]}
        if attached != nixs:
            yield f"attach: Nix alone: {sorted(nixs - attached)}, we alone: {sorted(attached - nixs)}"
        yield from self.check_order(first["items"])
        before, _ = self.rows()
        gone = self.collect("rebuild")
        if [i["name"] for i in gone["items"]] != [i["name"] for i in first["items"]] or any("trouble" in i for i in gone["items"]):
            yield f"what goes is not what would go: {gone}"
        rows, wrong = self.rows()
        if rows != before - nixs or wrong:
            yield f"rows that are wrong: {sorted(rows ^ (before - nixs))}, SQLite says {wrong}"
        for layer in (f"{self.root}/nix/store", f"{self.rw}/kept"):
            left = set(os.listdir(layer)) & nixs
            if left:
                yield f"{layer} still has {sorted(left)}"
        if not (set(self.sealed) | rows) <= set(os.listdir(f"{self.root}/nix/store")):
            yield "a valid path is not there any more"
        if self.dead_of_nix():
            yield "Nix finds more"
        self.nix("--verify")

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        subprocess.run(["umount", f"{self.root}/nix/store"], check=False)
        shutil.rmtree(self.root)


def make_template():
    """An empty database as this Nix makes it."""
    root = f"{TOP}/template"
    run("nix-store", "--store", f"local?root={root}", "--dump-db")
    db = sqlite3.connect(f"{root}/nix/var/nix/db/db.sqlite")
    db.execute("pragma wal_checkpoint(truncate)")
    db.close()
    shutil.copyfile(f"{root}/nix/var/nix/db/db.sqlite", f"{TOP}/template.sqlite")
    shutil.copyfile(f"{root}/nix/var/nix/db/schema", f"{TOP}/template.schema")


def main():
    bad = 0
    make_template()
    for seed in range(int(sys.argv[3]), int(sys.argv[3]) + int(sys.argv[4])):
        store = Store(seed)
        try:
            store.make_files()
            store.make_roots()
            store.make_databases()
            store.write_state("rebuild")
            store.write_state("attach")
            for difference in store.differences():
                print(f"{seed}: {difference}")
                bad += 1
        finally:
            store.close()
    print(f"{seen['stores']} stores, {seen['own']} own paths, {seen['alive']} alive, {seen['dead']} dead, {bad} differences")
    # Stores in which nothing or everything is dead would prove little.
    sys.exit(bad > 0 or seen["alive"] < seen["own"] / 10 or seen["dead"] < seen["own"] / 10)


main()
