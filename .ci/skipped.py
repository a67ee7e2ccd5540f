"""Fail if a test was skipped in every environment that it ran in: `skipped.py REPORT.xml…`, JUnit's XML."""

import sys
from collections import defaultdict
from xml.etree import ElementTree

#: Why a test may be skipped everywhere, by what its reason contains.
ALLOWED = {
    "root reads everything": "CI may run as root",
    "needs a GPU": "no accelerator here",
    "reads /proc": "Linux only",
    "it has no process groups": "not on Windows",
}


def main(paths: list[str]) -> int:
    """Print every test that ran nowhere, with its reason; 1 if there is any."""
    ran: set[str] = set()
    skipped: dict[str, str] = {}
    counts: dict[str, int] = defaultdict(int)
    for path in paths:
        for case in ElementTree.parse(path).iter("testcase"):
            name = f"{case.get('classname')}::{case.get('name')}"
            skip = case.find("skipped")
            if skip is None:
                ran.add(name)
            else:
                counts[path] += 1
                skipped.setdefault(name, skip.get("message") or "")
    nowhere = {
        name: reason
        for name, reason in skipped.items()
        if name not in ran and not any(allowed in reason for allowed in ALLOWED)
    }
    print(", ".join(f"{path.rpartition('/')[2]}: {counts[path]} skipped" for path in paths))
    for name, reason in nowhere.items():
        print(f"runs nowhere: {name}: {reason}")
    return 1 if nowhere else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
