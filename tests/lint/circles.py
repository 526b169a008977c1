#!/usr/bin/env python3
"""Which object files want which, by their symbols: no two in a circle, none against layers.txt.

    tests/lint/circles.py [BUILD]        from the top, after `make programs`

Each object of layers.txt's folders is a point, and an arrow leads from it to the owner of each symbol that it wants. Files
in a circle cannot be read, tested or moved one without the other, and mostly it is a small function that stands in the
wrong file. The libraries are looked at each for itself, then the whole. An arrow into a folder that is not below in
layers.txt is a call up the house that the includes hide: the header stands in one folder, its function in a higher one.

Prints each finding with one symbol an arrow; exit status 1 where there is one.
"""

import os
import subprocess
import sys


def read_layers():
    """{folder: library}, {folder: the folders below it, whether it includes them or one that it includes does}."""
    library, below = {}, {}
    with open("layers.txt") as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                folder, name, _, *folders = line.split()
                library[folder] = name
                below[folder] = {folder}.union(*(below[permitted] for permitted in folders))
    return library, below


def read_objects(build, folders):
    """The objects by their source's path. Those whose source has gone lie about from an earlier build and do not count."""
    objects, missing = {}, []
    for folder, library in folders.items():
        for name in sorted(os.listdir(folder)):
            if name.endswith(".c"):
                source = f"{folder}/{name}"
                path = f"{build}/{source[:-2]}.o"
                if os.path.exists(path):
                    objects[path] = source
                elif library != "-":  # a program may be made without an object
                    missing.append(source)
    return objects, missing


def read_symbols(objects):
    """{source: symbols wanted}, {symbol: source that defines it}; static ones and a program's main do not matter."""
    wanted = {source: set() for source in objects.values()}
    owner = {}
    text = subprocess.run(["nm", "-A", "-P", "--", *objects], check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in text.splitlines():
        path, rest = line.split(": ", 1)
        symbol, kind = rest.split()[:2]
        source = objects[path]
        if kind in "Uwv":
            wanted[source].add(symbol)
        elif kind.isupper() and symbol != "main":
            owner[symbol] = source
    return wanted, owner


def find_circles(points, arrows):
    """Tarjan's strongly connected components of more than one point, without recursion."""
    index, low, on_stack, stack, circles = {}, {}, set(), [], []

    def enter(point):
        index[point] = low[point] = len(index)
        stack.append(point)
        on_stack.add(point)
        return point, iter(sorted(arrows[point]))

    for start in sorted(points):
        path = [] if start in index else [enter(start)]
        while path:
            point, rest = path[-1]
            following = next(rest, None)
            if following is None:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[point])
                if low[point] == index[point]:
                    members = stack[stack.index(point):]
                    del stack[stack.index(point):]
                    on_stack.difference_update(members)
                    if len(members) > 1:
                        circles.append(sorted(members))
            elif following in points and following not in index:
                path.append(enter(following))
            elif following in on_stack:
                low[point] = min(low[point], index[following])
    return circles


class Tree:
    """What was built of layers.txt's folders."""

    def __init__(self, build):
        self.build = build
        self.library, self.below = read_layers()
        objects, self.missing = read_objects(build, self.library)
        self.findings = [f"{source} has no object in {build}: make programs first" for source in self.missing]
        if not objects:
            sys.exit("lint: " + "\n".join(self.findings[:1] or ["layers.txt lists no folder with sources"]))
        self.wanted, self.owner = read_symbols(objects)


def run(check):
    """Print what is found in the tree, and end with 1 where there is anything."""
    tree = Tree(sys.argv[1] if len(sys.argv) > 1 else "build")
    findings = [*tree.findings, *check(tree)]
    for finding in findings:
        print("lint: " + finding, file=sys.stderr)
    sys.exit(1 if findings else 0)


def check_circles(tree):
    arrows = {source: {} for source in tree.wanted}
    for source, symbols in tree.wanted.items():
        for symbol in sorted(symbols):
            target = tree.owner.get(symbol)
            if target and target != source:
                arrows[source].setdefault(target, symbol)

    folder_of = os.path.dirname
    for source in sorted(arrows):
        for target, symbol in sorted(arrows[source].items()):
            if folder_of(target) not in tree.below[folder_of(source)]:
                yield (f"{source} wants {symbol} of {target}: in layers.txt {folder_of(target)} is not below "
                       f"{folder_of(source)}")

    known = set()
    for name in [*sorted(set(tree.library.values()) - {"-"}), None]:
        points = {source for source in tree.wanted if name is None or tree.library[folder_of(source)] == name}
        for members in find_circles(points, arrows):
            if frozenset(members) in known:
                continue
            known.add(frozenset(members))
            where = f"the library {name}" if name else "the whole"
            finding = [f"{len(members)} files of {where} call each other in a circle: {' '.join(members)}"]
            for source in members:
                finding += [f"    {source} wants {symbol} of {target}"
                            for target, symbol in sorted(arrows[source].items()) if target in members]
            yield "\n".join(finding)


if __name__ == "__main__":
    run(check_circles)
