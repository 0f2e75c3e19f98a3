#!/usr/bin/env python3
"""Manual pages of section 3 from the public headers.

    man3.py VERSION OUTPUT HEADER...

A header becomes one page, mbj_<name>(3): what it begins with, its functions
with their comments, its types as they are written.  Each function has a page
that leads there, and mbj(3) lists them all.  So the headers stay the one place
where the library is described.
"""
import pathlib
import re
import sys

EXPORTED = re.compile(r"(MBJ_\w+ )*MBJ_API\b")
RULE = re.compile(r"/\* -{3,}")
LINE = re.compile(r".*?(?<!\\)\n", re.S)  # with those that continue it


def escape(line):
    line = line.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + line if line.startswith((".", "'")) else line


def comment_lines(comment):
    """The text of a comment, without what makes it one."""
    lines = comment[2:-2].split("\n")
    return [re.sub(r"^\s*\* ?", "", line).rstrip() if i else line.strip()
            for i, line in enumerate(lines)]


def paragraphs(comment):
    """The same as roff: lists and what is indented keep their lines."""
    out = []
    for line in comment_lines(comment):
        if not line.strip():
            out.append(".PP")
        elif re.match(r"\s*(\d+\.|\*) ", line) or line[0] in " \t":
            is_text = re.match(r"   \S", line) and out and out[-1] != ".PP"
            out += ([] if is_text else [".br"]) + [escape(line.strip())]
        elif re.match(r"(Returns|Requires|Durability|Threads|Ownership"
                      r"|Errors|Invariants?):", line):
            out += [".br", escape(line)]
        else:
            out.append(escape(line))
    while out and out[0] in (".PP", ".br"):
        out.pop(0)
    while out and out[-1] in (".PP", ".br"):
        out.pop()
    return out


def block_end(text, at):
    """Behind the declaration that begins at: its ;, or the } of a body."""
    depth = 0
    is_body = text.startswith("static ", at)
    while at < len(text):
        if text.startswith("/*", at):
            at = text.index("*/", at) + 2
            continue
        depth += (text[at] in "{(") - (text[at] in "})")
        at += 1
        if depth == 0 and (text[at - 1] == ";" or
                           is_body and text[at - 1] == "}"):
            return at
    raise ValueError("a declaration without an end")


def blocks(text):
    """(kind, comment before it, text) of all there is in a header."""
    at, comment = 0, ""
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        if text.startswith("/*", at):
            end = text.index("*/", at) + 2
            comment = "" if RULE.match(text, at) else text[at:end]
            at = end
            continue
        if text[at] == "#" or text.startswith(('extern "C"', "}"), at):
            end = LINE.match(text, at).end()
            kind = "macro" if text.startswith("#define", at) else "other"
        else:
            end = block_end(text, at)
            kind = ("function" if EXPORTED.match(text, at) else
                    "private" if re.match(r"[^{]*\(", text[at:end]) else
                    "type")
            tail = re.match(r"[ \t]*/\*.*?\*/", text[end:], re.S)
            end += tail.end() if tail else 0
        yield kind, comment, text[at:end].strip()
        at, comment = end, ""


def prototype(text):
    text = re.sub(r"\s+", " ", EXPORTED.sub("", text)).strip()
    text = text.replace("* mbj_", "*mbj_")
    return re.sub(r" (MBJ_MUST_CHECK|MBJ_PRINTF\([^)]*\))", "", text)


def function_name(text):
    return re.search(r"(mbj_\w+)\(", text).group(1)


def verbatim(text):
    return [".nf", *map(escape, text.expandtabs(8).split("\n")), ".fi"]


def summary(comment):
    """What stands before the first colon or full stop."""
    line = " ".join(x.strip() for x in comment_lines(comment) if x)
    return re.split(r"[:.] ", line + ". ", maxsplit=1)[0].rstrip(".")


class Page:
    def __init__(self, path):
        text = path.read_text(encoding="utf-8")
        self.header = f"mbj/{path.name}"
        self.name = f"mbj_{path.stem}"
        self.about = text[:text.index("*/") + 2]
        self.functions, self.types = [], []
        for kind, comment, block in blocks(text[len(self.about):]):
            if kind == "function":
                self.functions.append((comment, block))
            elif kind == "type" or (kind == "macro" and "_H" != block[-2:]):
                self.types.append((comment, block))

    def roff(self, version):
        out = [f'.TH {self.name.upper()} 3 "" "mbj {version}" "libmbj"',
               ".SH NAME", f"{self.name} \\- {escape(summary(self.about))}",
               ".SH SYNOPSIS", ".nf", f"#include <{self.header}>", ""]
        out += [escape(prototype(block)) for _, block in self.functions]
        out += [".fi", ".SH DESCRIPTION", *paragraphs(self.about)]
        if self.functions:
            out.append(".SH FUNCTIONS")
        for comment, block in self.functions:
            out += [".TP", f".B {function_name(block)}()"]
            out += (paragraphs(comment) if comment else
                    [escape(prototype(block))])
        if self.types:
            out.append(".SH TYPES")
        for comment, block in self.types:
            out += [".PP", *(paragraphs(comment) if comment else []),
                    ".PP", *verbatim(block)]
        out += [".SH SEE ALSO", ".BR mbj (1),", ".BR mbj (3)"]
        return "\n".join(out) + "\n"


def main():
    version, output = sys.argv[1], pathlib.Path(sys.argv[2])
    output.mkdir(parents=True, exist_ok=True)
    for old in output.glob("*.3"):
        old.unlink()
    all_of_it = next(p for p in map(pathlib.Path, sys.argv[3:])
                     if p.name == "mbj.h")
    pages = sorted((Page(pathlib.Path(p)) for p in sys.argv[3:]
                    if pathlib.Path(p) != all_of_it),
                   key=lambda page: page.name)
    text = all_of_it.read_text(encoding="utf-8")
    out = [f'.TH MBJ 3 "" "mbj {version}" "libmbj"', ".SH NAME",
           "mbj \\- rename\\-safe mailbox journal and replay, the library",
           ".SH SYNOPSIS", ".nf", "#include <mbj/mbj.h>", "",
           "cc ... $(pkg\\-config \\-\\-cflags \\-\\-libs mbj)", ".fi",
           ".SH DESCRIPTION",
           *paragraphs(text[:text.index("*/") + 2]), ".SH HEADERS"]
    for page in pages:
        (output / f"{page.name}.3").write_text(page.roff(version),
                                               encoding="utf-8")
        for _, block in page.functions:
            (output / f"{function_name(block)}.3").write_text(
                f".so man3/{page.name}.3\n", encoding="utf-8")
        out += [".TP", f".BR {page.name} (3)", escape(summary(page.about))]
    out += [".SH SEE ALSO", ".BR mbj (1)"]
    (output / "mbj.3").write_text("\n".join(out) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
