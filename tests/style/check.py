#!/usr/bin/env python3
"""The rules of the house that a machine can hold.

    check.py SOURCE_DIR

Prints each violation as file:line: text and exits 1 where there is one.
"""
import pathlib
import re
import sys

import docs

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
LAYERS = ["base", "mailbox", "journal", "replay", "imap", "cli"]
BANNED = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|"
                    r"atol|alloca|system|tmpnam|mktemp)\s*\(")
TORN = re.compile(r"^\s*\*[^\s*/]")
MARKERS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
GUARD = re.compile(r"^#ifndef ([A-Z0-9_]+_H)\n#define \1$", re.M)
PURE = re.compile(r"^(mailbox/(tree|diff)|journal/(plan|op|group)|"
                  r"replay/(engine|verify_tree|stream_(frame|field)|"
                  r"wanted_pace)|"
                  r"imap/(maildir_(name|path|list)|mbox|imap_))[a-z_]*\.[ch]$")
IMPURE_INCLUDE = re.compile(r'#\s*include\s*[<"](mbj/sys\.h|db\.h|time\.h|'
                            r'unistd\.h|fcntl\.h|pthread\.h)[>"]')
# A header may be reached through another: these names prove nothing, so only
# direct use counts.
QUARANTINE = [
    (re.compile(r"#\s*include\s*<db\.h>"),
     re.compile(r"^mailbox/db|^tests/bench/|^tests/disk/disk_db")),
    (re.compile(r"#\s*include\s*<unicode/"),
     re.compile(r"^mailbox/(name|utf7)")),
    (re.compile(r"#\s*include\s*<jansson\.h>"),
     re.compile(r"^journal/jmap|^tests/|^fuzz/")),
    (re.compile(r"#\s*include\s*<zstd"),
     re.compile(r"^base/pack\.c$|^tests/(replay|mailbox|bench)/")),
    (re.compile(r"#\s*include\s*<openssl/(?!sha\.h)"),
     re.compile(r"^cli/tls")),
    (re.compile(r"#\s*include\s*<curl/"),
     re.compile(r"^cli/push_wire")),
    (re.compile(r"\b(malloc|calloc|realloc|free)\s*\("),
     re.compile(r"^base/alloc\.c$|^tests/|^fuzz/")),
]


def strip(text):
    """Comments and strings blanked, line structure kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text,
                  flags=re.S)


def functions(code):
    """(first line, last line) of each top-level body in kernel shape."""
    start = None
    for number, line in enumerate(code.split("\n"), 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            yield start, number
            start = None


def check(root):
    problems = []
    sources = [p for layer in LAYERS + ["tests", "fuzz"]
               for p in sorted((root / layer).rglob("*"))
               if p.suffix in (".c", ".h", ".def")]
    for path in sources:
        name = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8")
        lines = text.split("\n")
        code = strip(text)

        def say(number, message):
            problems.append(f"{name}:{number}: {message}")

        if len(lines) - 1 > FILE_LINES_MAX:
            say(1, f"{len(lines) - 1} lines, at most {FILE_LINES_MAX}")
        if not text.startswith("/*"):
            say(1, "a file begins with a comment that says what it is")
        if path.suffix == ".c":
            for first, last in functions(code):
                # A table inside a test is data.
                limit = FUNCTION_LINES_MAX * (2 if name.startswith("tests/")
                                              else 1)
                if last - first + 1 > limit:
                    say(first, f"function of {last - first + 1} lines, "
                               f"at most {limit}")
        if path.suffix == ".h" and not GUARD.search(text):
            say(1, "no include guard")
        for number, line in enumerate(code.split("\n"), 1):
            # Tests may run other programs.
            if BANNED.search(line) and not (name.startswith("tests/") and
                                            "system" in line):
                say(number, "banned call: " + line.strip())
            for pattern, home in QUARANTINE:
                if pattern.search(line) and not home.search(name):
                    say(number, "belongs elsewhere: " + line.strip())
        inside = False
        for number, line in enumerate(lines, 1):
            # clang-format takes such lines apart, and never together again.
            if inside and TORN.match(line):
                say(number, "a comment that came apart: " + line.strip())
            inside = "*/" not in line and (inside or
                                           line.lstrip().startswith("/*"))
            if MARKERS.search(line):
                say(number, "left open: " + line.strip())
            if re.search(r'#\s*include\s*"\.\./', line):
                say(number, "includes through ../")
            if PURE.match(name) and IMPURE_INCLUDE.search(line):
                say(number, "a pure file includes " + line.strip())
    return problems, len(sources)


def main():
    root = pathlib.Path(sys.argv[1])
    problems, count = check(root)
    problems += docs.check(root, LAYERS)
    for problem in problems:
        print(problem)
    print(f"{count} files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
