#!/usr/bin/env python3
"""Real reorganisations of real trees, planned, journaled, replayed, verified.

    corpus.py CORPUS.jsonl.gz     (MBJ names the command)

Goal: what real projects did to their folder trees in one go must come out
right.  Method: each case becomes two Mailbox/get lists; the plan without a
store is simulated step by step here; then the same edit goes through import,
reconcile, replay and verify.  Skipped (status 77) where the corpus is absent.
"""
import gzip
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "cli"))
import mbjtest  # noqa: E402

SKIPPED = 77


def tree(pairs):
    """{identity: (parent identity or None, name)} from (path, identity)."""
    by_path = dict(pairs)
    missing = True
    number = 1_000_000
    while missing:
        missing = {path.rpartition("/")[0] for path in by_path
                   if "/" in path} - by_path.keys()
        for path in sorted(missing):
            number += 1
            by_path[path] = number
    result = {}
    for path, identity in by_path.items():
        parent, _, name = path.rpartition("/")
        result[identity] = (by_path[parent] if parent else None, name)
    return result


def rows(trees, inbox):
    ids = mbjtest.mailbox_id
    yield (ids(inbox), "INBOX", None)
    for identity, (parent, name) in trees.items():
        yield (ids(identity), name, ids(parent) if parent else None)


def check(case, work):
    initial = [(path, i + 1) for i, path in enumerate(case["initial"])]
    before = mbjtest.listing(rows(tree(initial), 9_999_999))
    after = mbjtest.listing(rows(tree([(p, i) for p, i in case["final"]]),
                                 9_999_999))
    files = [work / "before.json", work / "after.json"]
    for file, document in zip(files, (before, after)):
        file.write_text(json.dumps(document))

    def mbj(*arguments, stdin=None, status=0):
        result = mbjtest.run(*arguments, stdin=stdin)
        if result.status != status:
            raise RuntimeError(f"mbj {arguments[0]}: {result.status}: "
                               f"{result.err.strip()[:500]}")
        return result

    plan = mbj("plan", "--before", files[0], "--after", files[1],
               "--json").json()
    end = mbjtest.simulate(mbjtest.tree_of(before), plan["steps"])
    if end != mbjtest.tree_of(after):
        raise RuntimeError("the plan ends elsewhere")
    if len(plan["steps"]) != plan["lowerBound"] + plan["parks"]:
        raise RuntimeError("the numbers of the plan do not add up")
    primary, replica = work / "p", work / "r"
    mbj("init", primary)
    mbj("init", replica, "--role", "replica")
    mbj("import", primary, "tree", stdin=before)
    mbj("reconcile", primary, "tree", stdin=after)
    mbj("replay", primary, replica)
    mbj("verify", primary, replica)
    stored = mbjtest.tree_of(mbj("tree", replica, "tree", "--json").json())
    if stored != mbjtest.tree_of(after):
        raise RuntimeError("the replica's tree is another")
    return plan


def main():
    path = pathlib.Path(sys.argv[1])
    if not path.exists():
        print(f"skipped: {path} is not here")
        return SKIPPED
    failed = parks = unproven = 0
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        cases = [json.loads(line) for line in lines]
    for case in cases:
        work = pathlib.Path(tempfile.mkdtemp(prefix="mbj-corpus-"))
        begin = time.monotonic()
        try:
            plan = check(case, work)
            parks += plan["parks"]
            unproven += not plan["proven"]
            print(f"ok   {case['id']}: {len(plan['steps'])} steps, "
                  f"{plan['parks']} parks, proven {plan['proven']}, "
                  f"{time.monotonic() - begin:.2f} s")
        except (RuntimeError, mbjtest.PlanError, ValueError) as error:
            failed += 1
            print(f"FAIL {case['id']}: {error}")
        finally:
            shutil.rmtree(work, ignore_errors=True)
    print(f"{len(cases)} cases, {parks} parks, {unproven} not proven")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    sys.exit(main())
