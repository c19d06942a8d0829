#!/usr/bin/env python3
"""Shows that check_style.py finds what it claims to find, and leaves good files alone."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check_style


def guarded(path, body=""):
    guard = check_style.guards_of(path)[0]
    return f"// A header.\n#ifndef {guard}\n#define {guard}\n\n{body}\n#endif  // {guard}\n"


class CheckStyleTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        for path in ["storage/base/a.h", "storage/model/a.h", "storage/formats/a.h",
                     "storage/store/a.h", "storage/store/rocksdb/a.h", "storage/schema/a.h",
                     "proto/a.h", "server/a.h", "client/a.h", "client/include/ballast/client.h"]:
            self.put(path, guarded(path))

    def put(self, path, text):
        full = os.path.join(self.folder.name, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())

    def violations(self):
        return check_style.check_tree(self.folder.name)

    def expect(self, *parts):
        found = self.violations()
        self.assertEqual(len(found), 1, found)
        for part in parts:
            self.assertIn(part, found[0])

    def test_a_good_tree_has_no_violations(self):
        self.put("server/main.cc", '#include "storage/store/rocksdb/a.h"\n#include <vector>\n')
        self.put("storage/store/rocksdb/a.cc", '#include <rocksdb/db.h>\n#include "storage/base/a.h"\n')
        self.put("tests/store/t.cc", '#include "storage/store/rocksdb/a.h"\n')
        self.put("client/cli/c.cc", '#include "ballast/client.h"\n#include "client/a.h"\n')
        self.assertEqual(self.violations(), [])

    def test_includes_that_point_up_or_sideways_are_found(self):
        bad = [
            ("storage/base/b.cc", "storage/model/a.h"),
            ("storage/model/b.cc", "storage/formats/a.h"),
            ("storage/formats/b.cc", "storage/schema/a.h"),
            ("storage/formats/b.cc", "storage/store/a.h"),
            ("storage/schema/b.cc", "storage/formats/a.h"),
            ("storage/store/b.cc", "storage/store/rocksdb/a.h"),
            ("storage/store/b.cc", "storage/formats/a.h"),
            ("proto/b.cc", "storage/store/a.h"),
            ("proto/b.cc", "storage/formats/a.h"),
            ("server/b.cc", "client/a.h"),
            ("server/b.cc", "storage/store/rocksdb/a.h"),
            ("client/b.cc", "server/a.h"),
            ("client/b.cc", "storage/store/a.h"),
            ("client/cli/b.cc", "storage/store/rocksdb/a.h"),
            ("server/b.cc", "ballast/client.h"),
        ]
        for path, target in bad:
            with self.subTest(path=path, target=target):
                self.put(path, f'#include "{target}"\n')
                self.expect(path + ":1: layer:")
                os.remove(os.path.join(self.folder.name, path))

    def test_library_headers_outside_their_rooms_are_found(self):
        bad = [
            ("storage/store/b.cc", "rocksdb/db.h"), ("server/b.cc", "rocksdb/db.h"),
            ("storage/model/b.cc", "grpcpp/grpcpp.h"),
            ("storage/schema/b.cc", "google/protobuf/message.h"),
            ("storage/formats/b.cc", "ballast/v1/types.pb.h"),
            ("server/b.cc", "torch/torch.h"), ("storage/base/b.cc", "sys/socket.h"),
        ]
        for path, target in bad:
            with self.subTest(path=path, target=target):
                self.put(path, f"#include <{target}>\n")
                self.expect(path + ":1: layer:", target)
                os.remove(os.path.join(self.folder.name, path))

    def test_an_include_that_is_not_root_relative_is_found(self):
        self.put("storage/base/b.cc", '// text\n#include "a.h"\n')
        self.expect("storage/base/b.cc:2: include:")

    def test_a_wrong_guard_is_found(self):
        self.put("server/b.h", guarded("server/c.h"))
        self.expect("server/b.h:1: guard:", "BALLAST_SERVER_B_H_")

    def test_unfinished_marks_are_found(self):
        for mark in ["TO" + "DO: x", "FIX" + "ME", "X" + "XX", "a HA" + "CK", "good enough for" + " now",
                     "a place" + "holder"]:
            with self.subTest(mark=mark):
                self.put("server/b.cc", f"int a;\n// {mark}\n")
                self.expect("server/b.cc:2: mark:")

    def test_names_of_temporary_files_are_no_marks(self):
        self.put("server/b.cc", '"/tmp/name-XXXXXX"\n')
        self.assertEqual(self.violations(), [])

    def test_paths_of_one_machine_are_found(self):
        self.put("deploy/x.sh", "ls /home" + "/somebody/x\n")
        self.expect("deploy/x.sh:1: machine-path:")

    def test_giants_are_found(self):
        self.put("server/b.cc", "int a;\n" * 801)
        self.expect("server/b.cc:801: length:")
        self.put("server/b.cc", "int a;\n" * 800)
        self.assertEqual(self.violations(), [])

    def test_strangers_at_the_root_are_found(self):
        self.put("notes.md", "x\n")
        self.expect("notes.md:0: top-level:")

    def test_text_that_is_not_utf8_is_found(self):
        self.put("server/b.cc", b"// \xff\n")
        self.expect("server/b.cc:1: text:")


if __name__ == "__main__":
    unittest.main()
