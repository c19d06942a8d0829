"""The corpus of real files, for the tests that go through it. Not part of the repository.

BALLAST_CORPUS names the folder that holds `corpus/` and `tools/check_corpus.py`, else it is
../shared beside the repository.
"""
import importlib.util
import json
import os

import harness

SHARED = os.environ.get("BALLAST_CORPUS") or os.path.join(harness.ROOT, "..", "shared")
FOLDER = os.path.realpath(os.path.join(SHARED, "corpus"))
CHECKER = os.path.join(SHARED, "tools/check_corpus.py")
SUFFIX = ".expected.json"


def require():
    """Ends the test program as skipped where there is no corpus."""
    if not os.path.exists(CHECKER) or not os.path.isdir(FOLDER):
        harness.skip_all("no corpus in " + os.path.realpath(SHARED))


def manifests():
    """(path of the manifest, manifest) of every file, in a fixed order."""
    for folder, folders, names in os.walk(FOLDER):
        folders.sort()
        for name in sorted(names):
            if not name.endswith(SUFFIX):
                continue
            path = os.path.join(folder, name)
            with open(path) as f:
                yield path, json.load(f)


def loadable():
    """(path of the file, manifest) of what must load."""
    for path, manifest in manifests():
        if manifest["expect"] == "load":
            yield path[:-len(SUFFIX)], manifest


def name_of(path):
    return os.path.relpath(path, FOLDER)


def checker():
    """check_corpus.py as a module."""
    spec = importlib.util.spec_from_file_location("check_corpus", CHECKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
