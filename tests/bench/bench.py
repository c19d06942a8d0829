#!/usr/bin/env python3
"""Measures Ballast against what a user could pick instead, and against the machine.

    bench.py [--tiny|--quick|--full] [--only P1,P4] [--json FILE]

Prints one table and writes JSON; README.md says how each figure is made. Exit code: 0 if all was
measured (a missed target is a result), 1 if something failed, 2 for usage.
"""
import argparse
import sys
import time
import traceback

import context
import machine
import metrics
import table


def arguments():
    parser = argparse.ArgumentParser(description="Ratios of Ballast to its peers, in one run.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="profile", action="store_const", const="quick")
    size.add_argument("--full", dest="profile", action="store_const", const="full")
    size.add_argument("--tiny", dest="profile", action="store_const", const="tiny",
                      help="sizes that only show that the program works")
    parser.add_argument("--only", help="P1,P4,…")
    parser.add_argument("--json", help="file to write")
    parser.set_defaults(profile="quick")
    chosen = parser.parse_args()
    known = [m.ID for m in metrics.ALL]
    chosen.only = chosen.only.split(",") if chosen.only else known
    for name in chosen.only:
        if name not in known:
            parser.error(f"--only: {name!r} is none of {', '.join(known)}")
    return chosen


def main():
    chosen = arguments()
    print(machine.describe(), flush=True)
    rows, failed = [], []
    for metric in metrics.ALL:
        if metric.ID not in chosen.only:
            continue
        begin = time.monotonic()
        try:
            with context.Bench(context.PROFILES[chosen.profile]) as bench:
                measured = metric.measure(bench)
        except Exception:  # one metric that fails must not cost the others
            traceback.print_exc()
            failed.append(metric.ID)
            continue
        rows += measured
        for row in measured:
            print(table.progress_line(row), flush=True)
        print(f"# {metric.ID} took {time.monotonic() - begin:.0f} s", flush=True)
    print()
    print(machine.describe())
    print(table.text(rows, with_then=chosen.profile == "full"))
    for name in failed:
        print(f"{name}: failed, see above")
    if chosen.json:
        table.write_json(rows, chosen.json)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
