"""The documentation against the tree; check.py asks for it.

Each source is in docs/ARCHITECTURE.md, in the section of its folder, each test
in docs/TESTING.md, and no row of either names what is not there.  Each relative
link leads to a file, and to a section where it says one.
"""
import re

HEADING = re.compile(r"(#{1,6}) (.*)")
CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]+))?\)")


def prose(path):
    """(number, line) of what is not between fences."""
    inside = False
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("```"):
            inside = not inside
        elif not inside:
            yield number, line


def sections(path):
    """(marks, title, lines) of each, up to the next heading of any kind."""
    found = [("", "", [])]
    for number, line in prose(path):
        heading = HEADING.match(line)
        if heading:
            found.append((*heading.groups(), []))
        else:
            found[-1][2].append((number, line))
    return found


def names(lines):
    """(number, is it a row, name) of what is in backticks; a row's first cell
    only."""
    for number, line in lines:
        is_row = line.startswith("|")
        for name in CODE.findall(line.split("|")[1] if is_row else line):
            yield number, is_row, name


def meant(name, starts, files):
    """The files that a name stands for, where paths begin with starts."""
    if name.endswith("*"):
        begin = tuple(start + name[:-1] for start in starts)
        return {file for file in files if file.startswith(begin)}
    return files & {start + name + end for start in starts
                    for end in ("", ".c", ".h", ".py")}


def compare(page, lines, starts, ends, files):
    """(files that are named, problems) of a section; beside rows, names that
    end in one of ends count."""
    named, problems = set(), []
    for number, is_row, name in names(lines):
        found = meant(name, starts, files)
        if is_row or name.endswith(ends):
            named |= found
        # In a row, `_x` only says what a name with a star has.
        if is_row and not found and not name.startswith("_"):
            problems.append(f"{page}:{number}: names {name}, but there is no "
                            f"{starts[0]}{name}")
    return named, problems


def unnamed(page, files):
    return [f"{page}:1: does not name {file}: it needs a row"
            for file in sorted(files)]


def architecture(root, layers):
    page = "docs/ARCHITECTURE.md"
    files = {path.relative_to(root).as_posix() for layer in layers
             for path in (root / layer).rglob("*")}
    sources = {file for file in files if file.endswith((".c", ".h", ".def"))}
    problems = []
    for marks, title, lines in sections(root / page):
        if marks == "###" and (root / title).is_dir():
            named, wrong = compare(page, lines,
                                   (f"{title}/", f"{title}/include/"),
                                   (".h", ".def"), files)
            sources -= named
            problems += wrong
    return problems + unnamed(page, sources)


def testing(root):
    """A section of "Where what is tested" is about the folder with which it
    begins. A test of any other folder is named by its file, anywhere."""
    page = "docs/TESTING.md"
    files = {path.relative_to(root).as_posix()
             for path in (root / "tests").rglob("test_*")
             if path.suffix in (".c", ".py")}
    anywhere = {name for _, line in prose(root / page)
                for name in CODE.findall(line)}
    folders, tests, problems = set(), set(), []
    for marks, _, lines in sections(root / page):
        begin = re.match(r"`(tests/\w+)`", "".join(line for _, line in lines))
        if marks == "###" and begin:
            folder = begin.group(1)
            folders.add(folder)
            named, wrong = compare(page, lines, (f"{folder}/test_",), ("",),
                                   files)
            tests |= named
            problems += wrong
    for file in files - tests:
        folder, name = file.rsplit("/", 1)
        if folder not in folders and (file in anywhere or name in anywhere):
            tests.add(file)
    return problems + unnamed(page, files - tests)


def anchors(path):
    """What a link to a section can say, as GitHub makes it of headings."""
    found = {}
    for _, title, _ in sections(path):
        title = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower()
        slug = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
        found[slug] = found.get(slug, 0) + 1
    return set(found) | {f"{slug}-{number}" for slug, count in found.items()
                         for number in range(1, count)}


def links(root):
    problems, known = [], {}
    for page in sorted([*root.glob("*.md"), *root.glob("fuzz/*.md"),
                        *(root / "docs").rglob("*.md")]):
        for number, line in prose(page):
            where = f"{page.relative_to(root)}:{number}"
            for target, anchor in LINK.findall(line):
                path = page.parent / target if target else page
                if not path.exists():
                    problems.append(f"{where}: link to {target} leads nowhere")
                elif anchor and path.suffix == ".md":
                    if path not in known:
                        known[path] = anchors(path)
                    if anchor not in known[path]:
                        problems.append(f"{where}: link to {target}#{anchor}: "
                                        "no such section")
    return problems


def check(root, layers):
    return architecture(root, layers) + testing(root) + links(root)
