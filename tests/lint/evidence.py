#!/usr/bin/env python3
"""Evidence that cannot fail: ways of writing a test in which it passes whatever happens, each seen in this tree. Prints each
finding; exit status 1 where there is one. tests/self/evidence.sh has a line of each kind.

    tests/lint/evidence.py [FILE...]    all shell scripts of tests/ by default

    not      `! command` as a statement ends no script under `set -e`, and is true of a command that is not there and of a file
             that is not there. fails, lacks and same (tests/lib/honest.sh) say what was expected.
    and      `a && b` in a script with `set -e`, but for its last command: where a fails, the script goes on.
    status   `$?` after an assignment is the assignment's; `local x=$(command)` has the status of local.
    empty    `[ -n $x ]` is true of an empty x; `tap_is NAME "$(command)" ""` of a command that fails: tap_none.
             `-z "$(command)"` is true where the command fails: says_nothing, is_empty_dir.
    count    `[ "$(command | wc -l)" = 0 ]`, or at most so many, is true where the command fails: lines_of, says_nothing.
    sides    `diff <(command) <(command)`, `cmp file <(command)`: nobody sees a failure inside, and two empty sides are
             equal: same_output. What echo and printf say is no failure.
    equal    `[ "$(command)" = "$(command)" ]` is true of two that fail, with != of one: equal, differ.
    absent   `if ! grep x file` is true where there is no file: say what is there first, and the else is the failure.
    pipe     `x=$(command | sort) || failure`: the status is that of sort, which is content with nothing.
    loop     `for x in $(command)`, and `while read` of one, end at once where it fails: take_lines. Not in guests and
             benchmarks, where tests/lib is not at hand.
    hides    `|| true` without a word on its line about why (#), which excuses count, sides, equal, pipe and loop, too.
    jq       `jq -e` where tests/lib/honest.sh is not at hand: of no input its status is 0.
    end      a test program whose last line does not say how its tests went, or that prints no plan (1..N).
    trap     `trap ... EXIT` where tests/lib/tap.sh has its own, which tells of a script that stops half-way: tap_at_exit.
"""
import os
import re
import subprocess
import sys

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
bad = False

NOT = re.compile(r"""(^|[;&|({'"`]|\b(then|do|else))\s*! (?!\d)["$\w(\[{]""")
CONDITION = re.compile(r"\s*(if|elif|while|until)\s")
LITERAL = re.compile(r"""\s*((local|declare|export|readonly)\s+)?[A-Za-z_]\w*=([^\s$`"'(]|\$\w|\$\{[^}]*\}|"[^"`$]*"|'[^']*')*\s*$""")
STATUS = re.compile(r"[^;&|]*\$\?")
SUBSTITUTION = re.compile(r"(^|[\s;])(local|declare|export|readonly) (-\w+ )?(\w+ )*\w+=\"?(\$\((?!\()|`)")
EMPTY = re.compile(r"(^|[\s;&|({])\[ (! )?(-[a-z] )\$\w+ \]")
NOTHING = re.compile(r"""(^|\s)-z "?\\?"?\\?(\$\(|`)""")
COUNT = re.compile(r"""\|\s*wc -[lc]\)\\?"? (!?==? \\?"?0\b|-eq 0\b|-l[te] )|^\s*tap_is .*\|\s*wc -[lc]\)" "?0"?$""")
SIDES = re.compile(r"""(^|[\s;|&({'"])(cmp|diff)\s[^;&]*<\((?!\s*(echo|printf) [^|;&]*\)\s*([;|&)'"]|$|\|\||&&|>))""")
EQUAL = re.compile(r"""\[ \\?"\\?\$\((?!\().*\)\\?" !?==? \\?"\\?\$\((?!\().*\)\\?" \]""")
ABSENT = re.compile(r"""\s! (command )?grep\b""")
CONTENT = r"(sort|sed|cut|head|tail|wc|tr|uniq|awk|paste|cat|tee|xargs)"
PIPE = re.compile(r"""=\\?"?\$\([^()]*\|\s*""" + CONTENT + r"""\b[^|()]*\)"? (\|\||&&)|\s(if|while|until) (! )?\w+="?\$\([^()]*\|\s*""" + CONTENT + r"\b[^|()]*\)")
LOOP = re.compile(r"""\bfor \w+ in \\?\$\((?!seq |\()|\bdone < <\((?!(echo|printf) )""")
GUEST = re.compile(r"(^|/)tests/(bench|appliance|guest|debian)/")
HIDES = re.compile(r"""\|\|\s*(true|:)([\s;)}'"]|$)""")
JUDGES = re.compile(r"(^|[\s;|&({])jq (-[a-z]+ )*-[a-z]*e")
HONEST = re.compile(r"tests/lib/(tap|honest)\.sh|for lib in .*\btap\b|%/\*\}/honest")
SET_E = re.compile(r"""(^|["']|\bbash -\w*c ["'])\s*set -[a-z]*e""")
HEREDOC = re.compile(r"<<-?['\"]?(\w+)['\"]?$")
END = re.compile(r'tap_end$|echo "1\.\.\$')
END_BY_STATUS = re.compile(r"(sys\.)?exit.*(status|failed|failures)")
PLAN = re.compile(r"""(echo|print\(f?) ?"1\.\.[${]""")
TAP = re.compile(r"^\s*\. .*\btests/lib/tap\.sh|for lib in .*\btap\b")


def complain(name, number, kind, line):
    global bad
    bad = True
    print(f"lint: evidence: {name}:{number}: {kind}: {line.strip()}", file=sys.stderr)


def bare(line):
    """The line without substitutions, quoted words and double brackets, whose && are no list of this script."""
    before = None
    while before != line:
        before, line = line, re.sub(r"\$\([^()]*\)", "", line)
    line = re.sub(r'\\"[^"\\]*\\"|"[^"]*"', "", line)
    return re.sub(r"\[\[[^]]*\]\]", "", line)


def scopes(lines):
    """For each script with set -e its lines (number, text): the rest of the file, or of the quoted text that it stands in."""
    i = 0
    while i < len(lines):
        found = SET_E.search(lines[i])
        if not found or lines[i].lstrip().startswith("#"):
            i += 1
            continue
        rest = lines[i][found.end():]
        if "'" in found.group() or '"' in found.group():
            quote = re.search(r"""["']""", found.group()).group()
        elif i and HEREDOC.search(lines[i - 1]):
            end = HEREDOC.search(lines[i - 1]).group(1)
            body = []
            while i < len(lines) and lines[i].strip() != end:
                body.append((i + 1, lines[i]))
                i += 1
            yield body
            continue
        elif i and lines[i - 1].rstrip()[-1:] in "'\"" and lines[i][:1].isspace():
            quote = lines[i - 1].rstrip()[-1:]
        else:
            quote = None
        body = [(i + 1, rest)]
        while (quote is None or body[-1][1].count(quote) - body[-1][1].count("\\" + quote) * (quote == '"')) % 2 == 0 \
                if quote else i + 1 < len(lines):
            i += 1
            if i >= len(lines):
                break
            body.append((i + 1, lines[i]))
        if quote:
            number, text = body[-1]
            body[-1] = (number, text[: text.rfind(quote)] if text.count(quote) == 1 else text[: text.index(quote)])
        yield body
        i += 1


def statements(body):
    """(number, text, first word is a condition): lines that go on are put together, one-line lists taken apart at `;`."""
    text, start = "", 0
    for number, line in body:
        line = bare(re.sub(r"\s#\s.*", "", line)).strip()
        if not line or line.startswith("#"):
            continue
        start = start or number
        text += " " + line
        if re.search(r"(&&|\|\||\||\\)$", line):
            text = text.rstrip("\\")
            continue
        for part in re.split(r";(?!;)", text):
            if part.strip():
                yield start, part.strip()
        text, start = "", 0
    if text.strip():
        yield start, text.strip()


def check_and(name, lines):
    for body in scopes(lines):
        pending = None
        for number, text in statements(body):
            if re.match(r"(\)|\}|;;|[\"'])*$", text):
                continue
            if pending:
                complain(name, pending, "and", lines[pending - 1])
            text = re.sub(r"^((then|do|else|\{)\s+)+", "", text)
            listed = " && " in text and "||" not in text and not CONDITION.match(text + " ")
            pending = number if listed else None


def check(name):
    with open(name, encoding="utf-8", errors="surrogateescape") as file:
        lines = file.read().split("\n")
    honest = any(HONEST.search(line) for line in lines)
    previous, tap = "", bool(re.search(r"(^|/)tests/lib/(?!tap\.sh)", name))
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        text = re.sub(r"\s#\s.*", "", line)
        if NOT.search(text) and not CONDITION.match(text):
            complain(name, number, "not", line)
        if STATUS.match(text) and LITERAL.match(previous) or SUBSTITUTION.search(text):
            complain(name, number, "status", line)
        if EMPTY.search(text) or re.search(r"""(^|\s)tap_is .*\s(""|'')$""", text):
            complain(name, number, "empty", line)
        if NOTHING.search(text):
            complain(name, number, "empty", line)
        for kind, found in (("count", COUNT), ("sides", SIDES), ("equal", EQUAL), ("pipe", PIPE), ("loop", LOOP)):
            if found.search(text) and not (kind == "loop" and GUEST.search(name) or re.search(r"\s# \w", line)):
                complain(name, number, kind, line)
        if ABSENT.search(text) and CONDITION.match(text):
            complain(name, number, "absent", line)
        if HIDES.search(text) and not re.search(r"\s#\s", line):
            complain(name, number, "hides", line)
        if JUDGES.search(text) and not honest:
            complain(name, number, "jq", line)
        if tap and re.match(r"trap .*\bEXIT\b", text):
            complain(name, number, "trap", line)
        tap |= bool(TAP.search(text))
        previous = text
    check_and(name, lines)
    if re.search(r"tests/(host|qemu|self|docs/check_\w*|nixos)(/[^/]*)?\.sh$|tests/fuzz/replay\.sh$", name) and \
            not name.startswith("tests/nixos/standin/"):
        texts = [(n, line) for n, line in enumerate(lines, 1) if line.strip()]
        # In a program in Python, in a here-document, it is the last line but one.
        number, last = texts[-2] if texts[-1][1] == "END" else texts[-1]
        if not END.match(last) and not (END_BY_STATUS.match(last) and any(PLAN.search(line) for line in lines)):
            complain(name, number, "end", last)


def main():
    names = sys.argv[1:]
    if not names:
        tree = subprocess.run(["git", "ls-files", "tests"], check=True, capture_output=True, text=True).stdout.split("\n")
        plain = ("tests/run", "tests/fuzz/run", "tests/install-deps", "tests/appliance/init", "tests/debian/init",
                 "tests/debian/prepare-root")
        # Its lines of each kind are there to be found.
        names = [n for n in tree if (n.endswith(".sh") or n in plain) and n != "tests/self/evidence.sh"]
        if len(names) < 50:
            complain("git ls-files", 0, "end", "it finds no scripts")
    for name in names:
        check(name)
    sys.exit(1 if bad else 0)


main()
