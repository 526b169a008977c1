#!/usr/bin/env python3
"""gc_builders.py UNDERLAY ROOT STATE VIEW: builders that name roots while `underlay gc` runs, by Nix's protocol (addTempRoot in
src/libstore/gc.cc). To be run as root over an overlay with a database.

Makes 1,500 paths that nobody needs, starts the collector, and names paths until it has ended, as eight builders. Whoever has an
answer may trust it: a path that is valid then stays, with all that it refers to; one that is not is gone, and made anew it stays.
Exit status 1, with a sentence, where that is broken."""
import fcntl
import hashlib
import os
import random
import socket
import sqlite3
import subprocess
import sys
import threading
import time

UNDERLAY, ROOT, STATE, VIEW = sys.argv[1:]
NIX = f"{ROOT}/nix/var/nix"
PATHS = 1500
trouble, answered, sent_to_collector = [], {"stays": 0, "gone": 0}, 0


def name(i):
    digits = "".join(c for c in hashlib.sha256(str(i).encode()).hexdigest() if c in "0123456789abcd")
    return f"{digits[:32]}-path-{i}"


def make():
    db = sqlite3.connect(f"{NIX}/db/db.sqlite")
    for i in range(PATHS):
        os.mkdir(f"{VIEW}/{name(i)}")
        for f in range(3):
            with open(f"{VIEW}/{name(i)}/{f}", "w") as out:
                out.write(name(i))
        db.execute("insert into ValidPaths (path, hash, registrationTime, narSize) values (?, ?, ?, 100)",
                   (f"/nix/store/{name(i)}", "sha256:" + "0" * 64, 1_700_000_000 + PATHS - i))
        if i % 10:
            db.execute("insert into Refs select a.id, b.id from ValidPaths a, ValidPaths b where a.path = ? and b.path = ?",
                       (f"/nix/store/{name(i)}", f"/nix/store/{name(i - 1)}"))
    db.commit()
    db.close()


def is_valid(db, i):
    return db.execute("select 1 from ValidPaths where path = ?", (f"/nix/store/{name(i)}",)).fetchone() is not None


def whole(i):
    """The path with all that it refers to."""
    for k in range(i - i % 10, i + 1):
        for f in range(3):
            with open(f"{VIEW}/{name(k)}/{f}") as text:
                if text.read() != name(k):
                    return False
    return True


class Builder(threading.Thread):
    def __init__(self, number, collector):
        super().__init__()
        self.r, self.number, self.collector = random.Random(number), number, collector
        self.stays, self.made = set(), set()

    def name_root(self, temporary, i):
        """addTempRoot: with the lock into the file alone; else the collector is told first."""
        global sent_to_collector
        line = f"/nix/store/{name(i)}"
        with open(f"{NIX}/gc.lock", "r+") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    pass
                try:
                    if not self.socket:
                        self.socket = socket.socket(socket.AF_UNIX)
                        self.socket.connect(f"{NIX}/gc-socket/socket")
                    self.socket.sendall(line.encode() + b"\n")
                    if self.socket.recv(1) == b"1":
                        sent_to_collector += 1
                        break
                except (ConnectionError, FileNotFoundError):
                    time.sleep(0.01)
                self.socket = None
            temporary.write(line.encode() + b"\0")
            temporary.flush()

    def run(self):
        try:
            self.build()
        except Exception as e:  # a thread's own end is not the program's
            trouble.append(f"builder {self.number}: {e!r}")

    def build(self):
        self.socket = None
        db = sqlite3.connect(f"{NIX}/db/db.sqlite", timeout=60)
        with open(f"{NIX}/temproots/{900000 + self.number}", "wb") as temporary:
            fcntl.flock(temporary, fcntl.LOCK_EX)
            while self.collector.poll() is None:
                i = self.r.randrange(self.number, PATHS, 8)
                self.name_root(temporary, i)
                if i in self.made:
                    continue
                if is_valid(db, i):
                    self.stays.add(i)
                    answered["stays"] += 1
                    if not whole(i):
                        trouble.append(f"{name(i)} was valid when its root was taken, and is not whole")
                elif i not in self.stays:
                    answered["gone"] += 1
                    # A builder makes it anew, and registers it.
                    os.mkdir(f"{VIEW}/{name(i)}")
                    with open(f"{VIEW}/{name(i)}/new", "w") as out:
                        out.write("new")
                    self.made.add(i)
            self.check(db)
        db.close()

    def check(self, db):
        for i in self.stays:
            if not is_valid(db, i) or not whole(i):
                trouble.append(f"{name(i)} was valid when its root was taken, and is gone")
        for i in self.made:
            if os.listdir(f"{VIEW}/{name(i)}") != ["new"]:
                trouble.append(f"{name(i)} was made anew, and is not what was made")


def main():
    make()
    collector = subprocess.Popen([UNDERLAY, "gc", "--root", ROOT, "--file", STATE], stdout=subprocess.DEVNULL)
    builders = [Builder(n, collector) for n in range(8)]
    for b in builders:
        b.start()
    for b in builders:
        b.join()
    if collector.returncode != 0:
        trouble.append(f"the collector ended with {collector.returncode}")
    print(f"{answered} paths, {sent_to_collector} roots sent to the collector")
    for line in trouble[:20]:
        print(line)
    # Where nobody met the collector nothing was shown.
    sys.exit(bool(trouble) or min(answered.values()) == 0 or sent_to_collector < 8)


main()
