"""Real files: runs the corpus checker over the kinds of files that are supported.

    corpus_test.py KIND…

The corpus is not part of the repository; BALLAST_CORPUS names it, else ../shared beside the
repository. Skipped where there is none.
"""
import json
import os
import subprocess
import sys
import tempfile

import harness


def main():
    shared = os.environ.get("BALLAST_CORPUS") or os.path.join(harness.ROOT, "..", "shared")
    checker, corpus = (os.path.join(shared, p) for p in ("tools/check_corpus.py", "corpus"))
    if not os.path.exists(checker) or not os.path.isdir(corpus):
        harness.skip_all("no corpus in " + os.path.realpath(shared))
    corpus, kinds, chosen = os.path.realpath(corpus), set(sys.argv[1:]), 0
    with tempfile.TemporaryDirectory(prefix="ballast-corpus-") as expected:
        for folder, _, names in os.walk(corpus):
            for name in names:
                path = os.path.join(folder, name)
                if not name.endswith(".expected.json"):
                    continue
                with open(path) as f:
                    if kinds and json.load(f)["kind"] not in kinds:
                        continue
                link = os.path.join(expected, os.path.relpath(path, corpus))
                os.makedirs(os.path.dirname(link), exist_ok=True)
                os.symlink(path, link)
                chosen += 1
        if chosen == 0:
            sys.exit("no file of these kinds: " + " ".join(sorted(kinds)))
        sys.exit(subprocess.run(
            [sys.executable, checker, "--ballast", harness.ballast(), "--expected", expected,
             "--roundtrip", "--timeout", str(60 * harness.SLOWER), corpus],
            env=harness.clean_env()).returncode)


if __name__ == "__main__":
    main()
