#!/usr/bin/env python3
"""craft_ext4_index.py IMAGE DIRECTORY NAME hide|bomb

An ext4 directory with a hash index whose keys are in no order. A lookup searches the keys by halves, readdir goes from key
to key: they need not come to the same leaves.

hide: a lookup finds NAME, readdir does not list it.
bomb: neither does, until the directory has grown: a leaf that is split puts a key between, the halves fall elsewhere, and the
      lookup comes to NAME's leaf.

The directory has six leaves or more, and a few names of the lowest hashes, which are listed; the filesystem has no
metadata_csum. Prints the keys, and * at NAME's leaf."""
import struct
import subprocess
import sys


def debugfs(image, request):
    done = subprocess.run(["debugfs", "-R", request, image], capture_output=True, text=True, check=True)
    return done.stdout


def arrange(bomb):
    """Keys, and which of them is NAME's leaf's. A lookup takes the last key, by halves, that is not above its hash."""
    if bomb:
        # The middle is the fourth: the lookup goes left, to the first. That leaf is split when it is full, its new key
        # pushes the others on, and the fourth is NAME's.
        return [0, 0xfffffff0, 2, 0xfffffff0, 0xfffffff0, 0xfffffff0], 2
    # The middle is 2: the lookup goes right, to the last. readdir goes from 0 to 0xfffffff0, and is past NAME there.
    return [0, 0xfffffff0, 2, 4], 3


def main():
    path, directory, name, what = sys.argv[1:]
    blocks = [int(b) for b in debugfs(path, f"blocks {directory}").split()]
    with open(path, "r+b") as image:
        image.seek(1024 + 24)
        size = 1024 << struct.unpack("<I", image.read(4))[0]

        def read(block):
            image.seek(block * size)
            return bytearray(image.read(size))

        def holds(leaf):
            data, at = read(blocks[leaf]), 0
            while at < size:
                inode, length, name_length = struct.unpack_from("<IHB", data, at)
                if inode and data[at + 8:at + 8 + name_length] == name.encode():
                    return True
                at += length
            return False

        root = read(blocks[0])
        limit, count = struct.unpack_from("<HH", root, 0x20)
        assert root[0x1e] == 0 and count >= 6, f"an index of {count} leaves"
        leaves = [struct.unpack_from("<I", root, 0x24 + 8 * i)[0] for i in range(count)]
        home = next(leaf for leaf in leaves if holds(leaf))
        keys, position = arrange(what == "bomb")
        order = [leaf for leaf in leaves if leaf != home][:len(keys) - 1]
        order.insert(position, home)
        struct.pack_into("<HHI", root, 0x20, limit, len(keys), order[0])
        for i in range(1, len(keys)):
            struct.pack_into("<II", root, 0x20 + 8 * i, keys[i], order[i])
        image.seek(blocks[0] * size)
        image.write(root)
    print(" ".join(f"{key:08x}" + ("*" if i == position else "") for i, key in enumerate(keys)))


main()
