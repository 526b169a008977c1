#!/usr/bin/env python3
"""Nobody names a file of this project that has gone. Prints TAP.

    tests/docs/check_names.py [TOP]      (the tree that is looked at: this one)

Looked at are comments, documents, manual pages, tests, scripts and the Makefile. A path from the top, such as
common/dir.h or tests/fuzz, counts wherever it stands but in C code (includes are the compiler's), and must be there. A name
of fewer parts counts in comments and documents; it must be that of a file beside the one that names it, or of one file
somewhere, so that the reader finds it. A word in capitals stands for any name, and so does what a glob or a variable ends.
"""

import os
import re
import sys

# Files of others that are named here.
FOREIGN = {
    "doc/xxhash_spec.md": "xxHash",
    "drivers/md/dm-verity-fec.c": "Linux",
    "fs/erofs/data.c": "Linux",
    "fs/ext4/ext4.h": "Linux",
    "fs/xfs/libxfs/xfs_format.h": "Linux",
    "fs/btrfs/tree.h": "Linux",
    "fs/erofs/erofs_fs.h": "Linux",
    "fs/overlayfs/namei.c": "Linux",
    "fs/overlayfs/super.c": "Linux",
    "fs/squashfs/squashfs_fs.h": "Linux",
    "linux/f2fs_fs.h": "Linux",
    "lib/cmdline.c": "Linux",
    "lib/ctype.c": "Linux",
    "kernel/reboot.c": "Linux",
    "lib/verity/verity.c": "cryptsetup",
    "linux/keyctl.h": "Linux",
    "sanitizer/allocator_interface.h": "the sanitizers of LLVM",
    "sd-gpt.h": "systemd",
    "zmap.c": "Linux",
}
# Names that everybody has; which one is meant depends on where the reader is.
EVERYBODYS = {"configuration.nix", "default.nix", "flake.nix", "README.md", "shell.nix"}
# Data that tests feed to programs; the tests of checks, which make trees of their own; a list that has a check.
SKIPPED = re.compile(r"tests/(fuzz/seeds|rejects|samples|nixos/golden|self)/|tests/lint/(selftest\.sh|owners\.allowed)$")
SUFFIXES = r"(?:c|h|sh|nix|py|md)"


def read_tree():
    files = []
    for folder, folders, names in os.walk("."):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "build")))
        files += [os.path.normpath(os.path.join(folder, name)) for name in sorted(names)]
    return files


def split_comments(path, text):
    """(line number, what is said, what is code): in a document everything is said."""
    c, script = re.search(r"\.[chS]$", path), not path.endswith((".md", ".1", ".5", ".8")) and "." in path
    script = script or os.path.basename(path) == "Makefile" or text.startswith("#!")
    inside = False
    for number, line in enumerate(text.split("\n"), 1):
        if not c and not script:
            yield number, line, ""
        elif script and not c:
            code, sign, said = re.fullmatch(r"(.*?)(?:(?:^|(?<=\s))(#)(.*))?", line).groups(default="")
            yield number, said, code
        else:
            said, rest = "", line
            while rest:
                if inside:
                    part, end, rest = rest.partition("*/")
                    said += part
                    inside = not end
                else:
                    start = re.search(r"/\*|//", rest)
                    if not start:
                        break
                    inside = start.group() == "/*"
                    rest = rest[start.end():]
                    if not inside:
                        said += rest
                        break
            yield number, said, ""


def main():
    os.chdir(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "../.."))
    files = read_tree()
    known, ends = set(), {}
    for path in files:
        while path and path not in known:
            known.add(path)
            path = os.path.dirname(path)
    for path in known:
        parts = path.split("/")
        for i in range(len(parts)):
            ends.setdefault("/".join(parts[i:]), []).append(path)
    tops = "|".join(sorted(re.escape(path) for path in known if "/" not in path and os.path.isdir(path)))

    # Nothing before it that would make it a part of another path: /etc/x.sh, $dir/x.sh, <x.h>, *.c.
    before, after = r"(?<![\w$/<.*~}{=-])(?:\./)?", r"(?![\w/-]|\.\w)"
    from_top = re.compile(rf"{before}((?:{tops})/[\w./-]*\w)((?:\.?[*%$\[{{\\])?)")
    shorter = re.compile(rf"{before}((?:[\w.-]+/)*[\w][\w.-]*\.{SUFFIXES}){after}()")

    gone, named = [], 0
    for path in files:
        if SKIPPED.match(path):
            continue
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except (UnicodeDecodeError, OSError):
            continue
        here = os.path.dirname(path)
        for number, said, code in split_comments(path, text):
            found = [m.groups() for m in from_top.finditer(said)] + [m.groups() for m in from_top.finditer(code)]
            found += [m.groups() for m in shorter.finditer(said)]
            for name, goes_on in found:
                named += 1
                if name in known or name in FOREIGN or os.path.normpath(os.path.join(here, name)) in known:
                    continue
                if name.startswith("build/") or re.search(r"(^|/)[A-Z]+(/|$|\.)", name):
                    continue
                if goes_on and any(path.startswith(name) for path in known):
                    continue
                places = ends.get(name, [])
                if len(places) == 1 or (places and ("/" in name or name in EVERYBODYS)):
                    continue
                why = "is not there" if not places else "may be " + " or ".join(sorted(places))
                gone.append(f"{path}:{number}: {name} {why}")

    gone = sorted(set(gone))
    print(f"{'not ok' if gone or not named else 'ok'} - every file of the project that is named is there")
    for line in gone:
        print(f"# {line}")
    print(f"# {named} names in {len(files)} files\n1..1")
    sys.exit(1 if gone or not named else 0)


main()
