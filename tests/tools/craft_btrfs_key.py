#!/usr/bin/env python3
"""craft_btrfs_key.py IMAGE NAME

A btrfs directory whose last name, NAME, readdir does not list and a lookup finds: readdir goes by keys of type DIR_INDEX,
lookups by DIR_ITEM. The type of NAME's DIR_INDEX becomes the next number, which nobody asks for, and the leaf's checksum is
made anew. The filesystem is not mounted, and has one copy of its metadata. Prints how many leaves were changed."""
import struct
import sys

HEADER, ITEM, DIR_INDEX = 101, 25, 96


def crc32c(data):
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82f63b78 if n & 1 else 0)
        table.append(n)
    crc = 0xffffffff
    for byte in data:
        crc = table[(crc ^ byte) & 0xff] ^ crc >> 8
    return crc ^ 0xffffffff


def main():
    path, name = sys.argv[1], sys.argv[2].encode()
    changed = 0
    with open(path, "r+b") as image:
        image.seek(65536)
        superblock = image.read(4096)
        assert superblock[64:72] == b"_BHRfS_M"
        fsid, node = superblock[32:48], struct.unpack_from("<I", superblock, 0x94)[0]
        image.seek(0)
        data = image.read()
        for at in range(0, len(data) - node + 1, 4096):
            leaf = bytearray(data[at:at + node])
            if leaf[32:48] != fsid or name not in leaf or struct.unpack_from("<I", leaf)[0] != crc32c(leaf[32:]):
                continue
            items, level = struct.unpack_from("<IB", leaf, 96)
            for i in range(0 if level else items):
                key = HEADER + i * ITEM
                offset, size = struct.unpack_from("<II", leaf, key + 17)
                entry = leaf[HEADER + offset:HEADER + offset + size]
                if leaf[key + 8] == DIR_INDEX and entry[30:] == name:
                    leaf[key + 8] += 1
                    struct.pack_into("<I", leaf, 0, crc32c(leaf[32:]))
                    image.seek(at)
                    image.write(leaf)
                    changed += 1
    assert changed, "the name is in no leaf"
    print(changed)


main()
