#!/usr/bin/env python3
"""raid_marks.py KIND DEVICE

The mark that makes a device a part of something else, as libblkid and the kernel know it, and nothing more: md-1.0, md-0.90 and
isw and ddf at its end; md-1.1, lvm and bcache at its start, beside an ext4's superblock."""
import os
import struct
import sys
import zlib


def md_1(where, sectors):
    """Version 1.0 or 1.1, by where it lies: 256 bytes and two roles."""
    block = bytearray(256 + 4)
    struct.pack_into("<IIII16s32sQiiQII", block, 0, 0xa92b4efc, 1, 0, 0, b"R" * 16, b"host:0", 1700000000, 1, 0, sectors - 64, 0, 2)
    struct.pack_into("<QQQQ", block, 128, 0, sectors - 64, where, 0)
    struct.pack_into("<II16s", block, 160, 0, 0, b"D" * 16)
    struct.pack_into("<QQQII", block, 192, 1700000000, 5, 0xffffffffffffffff, 0, 2)
    total = sum(struct.unpack("<65I", block))
    struct.pack_into("<I", block, 216, ((total & 0xffffffff) + (total >> 32)) & 0xffffffff)
    return block


def md_0():
    block = bytearray(4096)
    struct.pack_into("<IIIII", block, 0, 0xa92b4efc, 0, 90, 0, 0)
    total = sum(struct.unpack("<1024I", block))
    struct.pack_into("<I", block, 4 * 38, ((total & 0xffffffff) + (total >> 32)) & 0xffffffff)
    return block


def lvm():
    block = bytearray(512)
    block[0:8] = b"LABELONE"
    struct.pack_into("<Q", block, 8, 1)
    struct.pack_into("<I8s", block, 20, 32, b"LVM2 001")
    block[32:64] = b"a" * 32
    crc = zlib.crc32(bytes(block[20:]), 0xf597a6cf ^ 0xffffffff) ^ 0xffffffff
    struct.pack_into("<I", block, 16, crc)
    return block


def main():
    kind, path = sys.argv[1:]
    with open(path, "r+b") as f:
        size = f.seek(0, os.SEEK_END)
        sectors = size // 512
        at, block = {
            "md-1.0": lambda: ((sectors - 16) & ~7, md_1((sectors - 16) & ~7, sectors)),
            "md-1.1": lambda: (0, md_1(0, sectors)),
            "md-0.90": lambda: ((sectors & ~127) - 128, md_0()),
            "isw": lambda: (sectors - 2, b"Intel Raid ISM Cfg Sig. 1.0.00".ljust(512, b"\0")),
            "ddf": lambda: (sectors - 1, struct.pack(">II24s8s", 0xde11de11, 0, b"UNDERLAY-TEST-GUID-00001", b"01.02.00").ljust(512, b"\0")),
            "lvm": lambda: (1, lvm()),
            "bcache": lambda: (8, bytes(8) + struct.pack("<QQ", 8, 1) + bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81") + bytes(400)),
        }[kind]()
        f.seek(at * 512)
        f.write(block)


main()
