#!/usr/bin/env python3
"""Every row of the catalogue of hard inputs is tested, or listed with the reason why not.

A test names its rows in one of these ways, anywhere under tests/:
    {"B37", …}  {"B37 count", …}    the first member of a table's row, in a .cc
    // row B37  // rows A65, B76    a comment, in a .cc; with # in a .py
hard_cases.md lists the others. Usage: check_rows.py TESTS_FOLDER
"""
import os
import re
import sys

# Sections of the catalogue and how many rows each has.
ROWS = {"A": 65, "B": 76, "C": 100, "D": 76, "E": 35, "F": 28}
LISTING = os.path.join("formats", "hard_cases.md")
TABLE = re.compile(r'\{\s*"([A-F])([0-9]{1,3})[a-z]?[ "]')
COMMENT = re.compile(r"(?://|#) rows? ((?:[A-F][0-9]{1,3}(?:, )?)+)")
LISTED = re.compile(r"^\| ([A-F][0-9]{1,3}) \| (.+) \|$", re.MULTILINE)
NOT_TESTED = "## Not tested"


def all_rows():
    return [f"{section}{number}" for section, count in ROWS.items()
            for number in range(1, count + 1)]


def rows_of_source(text, tables):
    rows = {section + number for section, number in TABLE.findall(text)} if tables else set()
    for names in COMMENT.findall(text):
        rows.update(re.findall(r"[A-F][0-9]+", names))
    return rows


def tested_rows(folder):
    """Row → the files that test it."""
    found = {}
    for path, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if f != "__pycache__"]
        for name in names:
            if not name.endswith((".cc", ".py")) or name.startswith("check_rows"):
                continue
            with open(os.path.join(path, name), encoding="utf-8") as f:
                for row in rows_of_source(f.read(), name.endswith(".cc")):
                    found.setdefault(row, []).append(name)
    return found


def listed_rows(text):
    """Row → the reason why it is not tested."""
    part = text.partition(NOT_TESTED)[2].partition("\n## ")[0]
    return dict(LISTED.findall(part))


def faults(tested, listed):
    rows = all_rows()
    out = [f"{row} is neither tested nor listed" for row in rows
           if row not in tested and row not in listed]
    out += [f"{row} is listed as not tested, and tested in {', '.join(tested[row])}"
            for row in rows if row in tested and row in listed]
    return out + [f"{row} is listed and no row of the catalogue"
                  for row in listed if row not in rows]


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    tested = tested_rows(sys.argv[1])
    with open(os.path.join(sys.argv[1], LISTING), encoding="utf-8") as f:
        listed = listed_rows(f.read())
    found = faults(tested, listed)
    rows = all_rows()
    for section, count in ROWS.items():
        of_section = [r for r in rows if r[0] == section]
        print(f"{section}: {sum(r in tested for r in of_section)} of {count} tested, "
              f"{sum(r in listed for r in of_section)} listed")
    print(f"{sum(r in tested for r in rows)} of {len(rows)} rows tested, {len(listed)} listed")
    print("\n".join(found + [f"{len(found)} faults"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
