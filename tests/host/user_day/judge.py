#!/usr/bin/env python3
"""Holds what the commands of a day said over one store against what they said over a plain one.

    judge.py LIST WHERE PLAIN OURS

Each line that only one of them has must be allowed by a row of LIST for that place and that step, and each row for the
place must be seen. A row s|A|B| tells of another word for the same: what it matches of ours is read as B. Over the plain
store each step has to end as it should: else both may have failed alike, for want of a program. Prints what is not so;
status 1 where there is something.
"""
import difflib
import fnmatch
import re
import sys


def read_steps(name):
    """The lines of each step, in their order."""
    steps = {}
    with open(name, encoding="utf-8") as file:
        for line in file.read().split("\n"):
            if line.startswith("== "):
                step = line[3:]
                if step in steps:
                    sys.exit(f"{name}: two steps have the name: {step}")
                steps[step] = []
            elif line:
                steps[step].append(line)
    if not steps or list(steps)[-1] != "the end":
        sys.exit(f"{name}: the day has no end")
    return steps


def read_rows(name, where):
    """(number, step, pattern) of the rows for this place."""
    rows = []
    with open(name, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip() and not line.startswith("#"):
                _, places, step, pattern = re.split(r"\t+", line.rstrip("\n"))
                if fnmatch.fnmatchcase(where, places):
                    rows.append((number, step, pattern))
    return rows


def main():
    allowed, where, plain, ours = sys.argv[1:]
    rows, wanted, got = read_rows(allowed, where), read_steps(plain), read_steps(ours)
    bad, seen = [f"{step}: over a plain store, {', '.join(lines[:2])}" for step, lines in wanted.items()
                 if lines and lines[0].replace("wanted", "status") != lines[1]], set()
    words = [row for row in rows if row[2].startswith("s|")]
    lines = [(number, step, re.compile(pattern)) for number, step, pattern in rows if not pattern.startswith("s|")]
    if list(wanted) != list(got):
        bad.append("the steps are not the same: " + ", ".join(set(wanted) ^ set(got)))
    for number, steps, word in words:
        _, pattern, instead, _ = word.split("|")
        for step in got:
            if fnmatch.fnmatchcase(step, steps):
                changed = [re.sub(pattern, instead, line) for line in got[step]]
                if changed != got[step]:
                    seen.add(number)
                    got[step] = changed
    for step in wanted:
        differences = [line for line in difflib.unified_diff(wanted[step], got.get(step, []), lineterm="", n=0)
                       if not re.match(r"---|\+\+\+|@@", line)]
        for line in differences:
            matching = [row[0] for row in lines if fnmatch.fnmatchcase(step, row[1]) and row[2].fullmatch(line)]
            seen.update(matching)
            if not matching:
                bad.append(f"{step}: {line}")
    bad += [f"{allowed}:{number}: nothing of {step} differs so" for number, step, _ in rows if number not in seen]
    for line in bad:
        print(line)
    sys.exit(1 if bad else 0)


main()
