#!/usr/bin/env python3
"""docs/LIMITS.md against the headers and the tests.

    limits.py SOURCE_DIR

Each constant MBJ_*_MAX of a public header has one row, with its value; each row
is of such a constant, and the tests that it names are there.
"""
import pathlib
import re
import sys

ROW = re.compile(r"^\| `(MBJ_\w+)` \| (\d+) \| ([^\n]*) \|$", re.M)
TEST = re.compile(r"`(tests/[\w/]+\.(?:c|py))` (\w+)")
KNOWN = {"INT64_MAX": 2**63 - 1, "UINT32_MAX": 2**32 - 1,
         "UINT64_MAX": 2**64 - 1}


def headers(root):
    """{constant: expression} of all public headers."""
    found = {}
    for path in sorted(root.glob("*/include/mbj/*.h")):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"),
                      flags=re.S)
        for line in text.split("\n"):
            for match in re.finditer(
                    r"\b(MBJ_[A-Z_0-9]*_MAX)\b(?:\s*=\s*|(?<=_MAX)\s+)"
                    r"([^,;}]+)", line):
                is_value = "=" in match.group(0) or "#define" in line
                if is_value:
                    found[match.group(1)] = match.group(2).strip()
    return found


def value(name, found):
    """What a constant comes to; plain arithmetic and other constants."""
    text = re.sub(r"\(u?int\d+_t\)|\(size_t\)|U?INT\d+_C(?=\()", "",
                  found[name])
    text = re.sub(r"\b(\d+)[uUlL]+\b", r"\1", text)
    text = re.sub(r"\b[A-Z][A-Z_0-9]+\b",
                  lambda m: str(KNOWN[m.group(0)] if m.group(0) in KNOWN
                                else value(m.group(0), found)), text)
    if not re.fullmatch(r"[\s\d()<>*+xXa-fA-F-]+", text):
        raise ValueError(f"{name}: {found[name]}")
    return eval(text)  # pylint: disable=eval-used


def test_is_there(root, path, name):
    text = (root / path).read_text(encoding="utf-8") \
        if (root / path).exists() else ""
    return f"START_TEST({name})" in text or f"def {name}(" in text


def main():
    root = pathlib.Path(sys.argv[1])
    doc = (root / "docs" / "LIMITS.md").read_text(encoding="utf-8")
    found = headers(root)
    rows, problems = {}, []
    bounds = doc.index("## Bounds")
    for match in ROW.finditer(doc):
        name, shown, rest = match.groups()
        if name in rows:
            problems.append(f"{name} is there twice")
        rows[name] = shown
        if name not in found:
            problems.append(f"{name} is in no public header")
        elif str(value(name, found)) != shown:
            problems.append(f"{name} is {value(name, found)}, not {shown}")
        tests = TEST.findall(rest)
        if match.start() < bounds and not tests:
            problems.append(f"{name} has no test")
        problems += [f"{name}: no {test} in {path}" for path, test in tests
                     if not test_is_there(root, path, test)]
    problems += [f"{name} is not in the list" for name in sorted(found)
                 if name not in rows]
    for problem in problems:
        print(f"docs/LIMITS.md: {problem}")
    print(f"{len(rows)} limits, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
