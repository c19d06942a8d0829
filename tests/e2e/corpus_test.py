"""Real files: runs the corpus checker over the kinds of files that are supported.

    corpus_test.py KIND…

Skipped where there is no corpus (corpus.py).
"""
import os
import subprocess
import sys
import tempfile

import corpus
import harness


def main():
    corpus.require()
    kinds, chosen = set(sys.argv[1:]), 0
    with tempfile.TemporaryDirectory(prefix="ballast-corpus-") as expected:
        for path, manifest in corpus.manifests():
            if kinds and manifest["kind"] not in kinds:
                continue
            link = os.path.join(expected, corpus.name_of(path))
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink(path, link)
            chosen += 1
        if chosen == 0:
            sys.exit("no file of these kinds: " + " ".join(sorted(kinds)))
        sys.exit(subprocess.run(
            [sys.executable, corpus.CHECKER, "--ballast", harness.ballast(), "--expected", expected,
             "--roundtrip", "--timeout", str(60 * harness.SLOWER), corpus.FOLDER],
            env=harness.clean_env()).returncode)


if __name__ == "__main__":
    main()
