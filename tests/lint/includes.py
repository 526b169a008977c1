#!/usr/bin/env python3
"""What the compiler did include, and where it took its functions from: nothing that the sources do not say.

    tests/lint/includes.py [BUILD]        from the top, after `make programs`

layers.sh reads the lines that begin with #include. The compiler reads more: a name that a macro makes, a line that goes
on in the next one, a digraph, <common/../cli/cli.h>, a symlink, an option. It writes into the .d file beside each object
what it read; of a source without one it is asked (cc -MM). So, for each source of layers.txt's folders:

- whatever it read of this tree stands in a folder below its own, as circles.py has it for calls;
- whatever it read of this tree is found by the lines that layers.sh reads, too;
- each symbol of another source that it uses is named in a header that it read: none is declared by hand.

Prints each finding; exit status 1 where there is one.
"""

import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
from circles import run  # noqa: E402

LINE = re.compile(r'^[ \t]*#[ \t]*(?:include|import|include_next)[^"<\n]*"([^"\n]*)"', re.M)


def text_of(path, cache={}):
    if path not in cache:
        with open(path, encoding="utf-8") as file:
            cache[path] = file.read()
    return cache[path]


def prerequisites(rule):
    """What stands behind the colon of a makefile's first rule."""
    return re.sub(r"\\\n", " ", rule).split("\n")[0].partition(": ")[2].split()


def files_read(build, source):
    """The files of this tree that the compiler read for the source, itself too, by their real paths."""
    note = f"{build}/{source[:-2]}.d"
    if os.path.exists(note):
        rule = text_of(note)
    else:
        rule = subprocess.run([os.environ.get("CC", "cc"), "-MM", "-D_GNU_SOURCE", "-I.", source], check=True,
                              stdout=subprocess.PIPE, text=True).stdout
    top = os.path.realpath(".")
    paths = (os.path.relpath(os.path.realpath(name), top) for name in prerequisites(rule))
    return {path for path in paths if not path.startswith("../")}


def files_said(source):
    """The files that the lines of the source lead to, and the lines of these."""
    found, rest = {source}, [source]
    while rest:
        for name in LINE.findall(text_of(rest.pop())):
            if name not in found and os.path.exists(name):
                found.add(name)
                rest.append(name)
    return found


def check_includes(source, read, below):
    own = os.path.dirname(source)
    for path in sorted(read):
        folder = os.path.dirname(path)
        if folder not in below[own]:
            yield f"{source} reads {path}: in layers.txt {folder or '.'} is not below {own}"
    for path in sorted(read - files_said(source)):
        yield f'{source} reads {path}, and no line says so: write #include "{path}"'


def check_calls(source, read, symbols, owner):
    said = set()
    for path in read - {source}:
        said.update(re.findall(r"\w+", text_of(path)))
    for symbol in sorted(symbols - said):
        if owner.get(symbol, source) != source:
            yield f"{source} uses {symbol} of {owner[symbol]}, which no header that it reads declares"


def check(tree):
    for folder in tree.library:
        for name in sorted(os.listdir(folder)):
            source = f"{folder}/{name}"
            if not name.endswith(".c") or source in tree.missing:
                continue
            read = files_read(tree.build, source)
            yield from check_includes(source, read, tree.below)
            yield from check_calls(source, read, tree.wanted.get(source, set()), tree.owner)


run(check)
