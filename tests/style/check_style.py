#!/usr/bin/env python3
"""Checks the rules of the house that a machine can check.

    check_style.py ROOT

Reads every text file that git knows of under ROOT and prints one line `path:line: rule: what` for
each violation. Exit code 1 if there is one.

Rules: layer (an #include that the table of rooms does not allow), include (not root-relative, or
no such file), guard, mark (unfinished work), machine-path, length, top-level.
"""
import os
import re
import subprocess
import sys

# A room may include what is listed, and itself. The longest matching prefix decides.
ROOMS = {
    "storage/base": set(),
    "storage/model": {"storage/base"},
    "storage/formats": {"storage/base", "storage/model"},
    "storage/schema": {"storage/base", "storage/model"},
    "storage/store": {"storage/base", "storage/model"},
    "storage/store/rocksdb": {"storage/base", "storage/model", "storage/store"},
    "proto": {"storage/base", "storage/model", "storage/schema"},
    "server": {
        "storage/base", "storage/model", "storage/formats", "storage/schema", "storage/store",
        "proto",
    },
    "client": {"storage/base", "storage/model", "storage/formats", "storage/schema", "proto"},
    "client/cli": {
        "storage/base", "storage/model", "storage/formats", "storage/schema", "proto", "client",
    },
    "client/examples": {"client"},
}
# Files that may do more than their room: the server is put together in one place.
EXTRA = {"server/main.cc": {"storage/store/rocksdb"}}
# Headers of libraries, and the only rooms that may include them.
LIBRARIES = [
    (re.compile(r"^rocksdb/"), ("storage/store/rocksdb", "tests/store")),
    (re.compile(r"^(grpc|grpcpp|grpc\+\+)/"), ("proto", "server", "client", "tests/bench")),
    (re.compile(r"^google/protobuf/"), ("proto", "server", "client", "tests")),
    (re.compile(r"^ballast/v1/.*\.pb\.h$"), ("proto", "server", "client", "tests")),
    (re.compile(r"^(torch|ATen|c10)/"), ("client", "tests")),
    (re.compile(r"^(prometheus/.*|civetweb\.h)$"), ("server",)),
    (re.compile(r"^(sys/socket|netinet/.*|arpa/inet|netdb)\.h$"), ("server", "client", "tests/server")),
]
TOP_LEVEL = {
    "CMakeLists.txt", "README.md", "proto", "server", "client", "storage", "deploy", "tests",
    "LICENSE", "CMakePresets.json", ".clang-format", ".clang-tidy", ".ci", ".gitignore",
}
MARKS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|\bfor now\b|\bplaceholder\b|\bnot implemented yet\b",
                   re.IGNORECASE)
MACHINE_PATH = re.compile(r"(?<![\w.>\"])/(home|root|work|Users)/\w")
TEXT = (".cc", ".h", ".proto", ".py", ".sh", ".md", ".txt", ".cmake", ".in", ".json", ".cs")
CODE = (".cc", ".h")
LINES_MAX = 800
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def tracked_files(root):
    """Paths relative to root; without git, everything but build outputs."""
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z", "--cached", "--others",
         "--exclude-standard"], capture_output=True)
    top = subprocess.run(["git", "-c", "safe.directory=*", "-C", root, "rev-parse",
                          "--show-toplevel"], capture_output=True, text=True)
    if top.returncode == 0 and os.path.realpath(top.stdout.strip()) == os.path.realpath(root):
        names = listing.stdout.decode().split("\0")
        return sorted(n for n in set(names) if n and os.path.isfile(os.path.join(root, n)))
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f not in (".git", "build", "__pycache__")]
        found += [os.path.relpath(os.path.join(folder, n), root) for n in names]
    return sorted(found)


def room_of(path):
    rooms = [r for r in ROOMS if path.startswith(r + "/")]
    return max(rooms, key=len, default=None)


def check_include(root, path, quote, target, report):
    for pattern, rooms in LIBRARIES:
        if pattern.match(target):
            # A deeper room (storage/store/rocksdb) is named itself.
            if not any(path.startswith(r + "/") for r in rooms):
                report("layer", f"{target} may only be included in {', '.join(rooms)}")
            return
    public = re.match(r"^ballast/[a-z_]+\.h$", target)
    if public:
        target = "client/include/" + target
    elif quote == "<" or ("/" in target and target.split("/")[0] not in TOP_LEVEL):
        return  # a library's
    if not any(os.path.isfile(os.path.join(root, target + end)) for end in ("", ".in")):
        report("include", f'"{target}" is not the path of a file from the root')
        return
    room, other = room_of(path), room_of(target)
    if room is None or other is None or room == other:
        return
    if other not in ROOMS[room] | EXTRA.get(path, set()):
        report("layer", f"{room} may not include {other} ({target})")


def guards_of(path):
    names = [path]
    if path.startswith("client/include/ballast/"):
        names += [path[len("client/include/"):], path[len("client/include/ballast/"):]]
    return ["BALLAST_" + re.sub(r"[^A-Za-z0-9]", "_", n).upper() + "_" for n in names]


def check_guard(path, text, report):
    guards = guards_of(path)
    wanted = [f"#ifndef {g}\n#define {g}\n" for g in guards]
    guards_doubled = [g.replace("BALLAST_BALLAST_", "BALLAST_") for g in guards]
    wanted += [f"#ifndef {g}\n#define {g}\n" for g in guards_doubled]
    if not any(w in text for w in wanted):
        report(1, "guard", f"want the include guard {guards[0]}")


def check_file(root, path, violations):
    def report(line, rule, what):
        violations.append(f"{path}:{line}: {rule}: {what}")

    try:
        with open(os.path.join(root, path), encoding="utf-8") as f:
            text = f.read()
    except UnicodeDecodeError:
        report(1, "text", "is not valid UTF-8")
        return
    lines = text.splitlines()
    if len(lines) > LINES_MAX:
        report(len(lines), "length", f"has {len(lines)} lines, want at most {LINES_MAX}")
    own_words = path.startswith("tests/style/")
    for number, line in enumerate(lines, 1):
        mark = MARKS.search(line)
        if mark and not own_words:
            report(number, "mark", f'"{mark.group(0)}": finish it, or name the limitation')
        if MACHINE_PATH.search(line) and not own_words:
            report(number, "machine-path", "a path of one machine")
        include = INCLUDE.match(line) if path.endswith(CODE) else None
        if include:
            check_include(root, path, include.group(1), include.group(2),
                          lambda rule, what: report(number, rule, what))
    if path.endswith(".h"):
        check_guard(path, text, report)


def check_tree(root):
    violations = []
    files = tracked_files(root)
    for name in sorted({f.split("/")[0] for f in files} - TOP_LEVEL):
        violations.append(f"{name}:0: top-level: is not in the list of the root folder")
    for path in files:
        if path.endswith(TEXT) or path.startswith(".ci/"):
            check_file(root, path, violations)
    return violations


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    violations = check_tree(sys.argv[1])
    print("\n".join(violations + [f"{len(violations)} violations"]))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
