#!/usr/bin/env python3
"""craft_ext4_free.py IMAGE FILE [PAGE...]

Marks blocks of a file free, in an ext4's bitmaps and counts: the file owns them still, and what is made next takes them.
PAGE...: which of the file's blocks, from 0, read from standard input; without any all. The filesystem has blocks of 1024 bytes
and none of 64bit, metadata_csum, uninit_bg. Prints how many."""
import struct
import subprocess
import sys

SIZE = 1024


def main():
    path, name = sys.argv[1:]
    done = subprocess.run(["debugfs", "-R", f"blocks {name}", path], capture_output=True, text=True, check=True)
    blocks = [int(b) for b in done.stdout.split()]
    pages = [int(p) for p in sys.stdin.read().split()]
    with open(path, "r+b") as image:
        image.seek(1024)
        superblock = bytearray(image.read(1024))
        first, = struct.unpack_from("<I", superblock, 0x14)
        per_group, = struct.unpack_from("<I", superblock, 0x20)
        assert struct.unpack_from("<I", superblock, 0x18)[0] == 0, "blocks of 1024 bytes"
        assert not struct.unpack_from("<I", superblock, 0x64)[0] & 0x410, "no checksums"
        freed = 0
        for block in [blocks[p] for p in pages] if pages else blocks:
            group, bit = divmod(block - first, per_group)
            descriptor = (first + 1) * SIZE + 32 * group
            image.seek(descriptor)
            bitmap, = struct.unpack("<I", image.read(4))
            image.seek(bitmap * SIZE + bit // 8)
            byte = image.read(1)[0]
            if not byte & 1 << bit % 8:
                continue
            image.seek(bitmap * SIZE + bit // 8)
            image.write(bytes([byte & ~(1 << bit % 8)]))
            image.seek(descriptor + 12)
            count, = struct.unpack("<H", image.read(2))
            image.seek(descriptor + 12)
            image.write(struct.pack("<H", count + 1))
            freed += 1
        free, = struct.unpack_from("<I", superblock, 0x0c)
        struct.pack_into("<I", superblock, 0x0c, free + freed)
        image.seek(1024)
        image.write(superblock)
    print(freed)


main()
