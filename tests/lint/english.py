#!/usr/bin/env python3
"""Forms of English in the C sources that a reader has to read twice. Prints each finding; exit status 1 where there is
one.

  tests/lint/english.py [TOP]       (the tree that is looked at: this one)

A comment begins with its subject: not with "Of the row.", "Likewise" or "The same of files.", whose subject stands in
another comment. "X is none" is "X is not a ...". A message says which value is invalid, and the rule where it is short,
not that something "is not possible". What is called the same thing ("The same inputs give the same bytes") is fine.
"""
import os
import re
import sys

top = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "../..")
# A string, or (in a group) a comment: neither is looked for inside the other.
TOKEN = re.compile(r'("(?:\\.|[^"\\\n])*")|\'(?:\\.|[^\'\\\n])*\'|(/\*.*?\*/|//[^\n]*)', re.S)
NONE = (re.compile(r"(?<!\bthere) (?:is|are|was|were) none\b"), 'say "is not a ..."')
COMMENT = [
    NONE,
    (re.compile(r"^(?:Of|Likewise)\b"), "begin with the subject"),
    (re.compile(r"^The same(?:[,;.:]| (?:of|for|with|as|to|by|but|when|where)\b)"), "begin with the subject"),
]
STRING = [NONE, (re.compile(r"\bnot possible\b|\bimpossible\b"), "say which value is invalid, and the rule")]

with open(os.path.join(top, "layers.txt"), encoding="utf-8") as layers:
    folders = [line.split()[0] for line in layers if line.strip() and not line.startswith("#")]
sources = [os.path.join(folder, name) for folder in folders for name in sorted(os.listdir(os.path.join(top, folder)))
           if name.endswith((".c", ".h"))]
if not sources:
    sys.exit(f"lint: {top} has no source files")
bad = False
for source in sources:
    with open(os.path.join(top, source), encoding="utf-8") as file:
        text = file.read()
    for token in TOKEN.finditer(text):
        string, comment = token.groups()
        # A comment's words without its frame, in one line.
        words = string or re.sub(r"\s*\n\s*\*? ?\s*", " ", (comment or "").strip("/*")).strip()
        for pattern, instead in STRING if string else COMMENT:
            found = pattern.search(words)
            if found:
                line = text.count("\n", 0, token.start()) + 1
                print(f'lint: {source}:{line}: "{found.group().strip()}": {instead}: {words[:70]}', file=sys.stderr)
                bad = True
sys.exit(bad)
