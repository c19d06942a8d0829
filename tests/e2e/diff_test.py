"""`ballast diff`, and what is told of a version's values: from the command line to the store."""
import json
import math
import struct

import harness


def safetensors(tensors):
    """A file of {key: (dtype, shape, bytes)}."""
    header, data = {}, b""
    for key, (dtype, shape, payload) in tensors.items():
        header[key] = {"dtype": dtype, "shape": shape,
                       "data_offsets": [len(data), len(data) + len(payload)]}
        data += payload
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def floats(*values):
    return "F32", [len(values)], struct.pack(f"<{len(values)}f", *values)


class DiffTest(harness.TestCase):
    def push_tensors(self, model, tensors, *args):
        path = harness.write(self.path("in.safetensors"), safetensors(tensors))
        return self.push(path, model, *args)

    def push_pair(self, model):
        self.push_tensors(model, {"kept": floats(1), "moved.old": floats(7, 8),
                                  "w": floats(1, 2, 3, 4), "gone": floats(9),
                                  "cast": floats(1, 2), "shaped": floats(1, 2)})
        self.push_tensors(model, {"kept": floats(1), "moved.new": floats(7, 8),
                                  "w": floats(1, 2, 6, 0), "new": floats(5, 5, 5),
                                  "cast": ("F64", [2], struct.pack("<2d", 1, 2)),
                                  "shaped": ("F32", [1, 2], struct.pack("<2f", 1, 2))})

    def test_each_change_is_told_with_how_far_its_values_went(self):
        self.push_pair("m")
        diff = self.json("diff", "m:1", "m:2")
        self.assertEqual((diff["from"]["version"], diff["to"]["version"]), (1, 2))
        self.assertEqual([(c["change"], c["key"]) for c in diff["changes"]],
                         [("recast", "cast"), ("removed", "gone"), ("renamed", "moved.new"),
                          ("added", "new"), ("reshaped", "shaped"), ("changed", "w")])
        self.assertEqual(diff["changes"][2]["from"]["key"], "moved.old")
        self.assertEqual(diff["changes"][0]["values"]["changed"], 0)
        self.assertEqual(diff["changes"][5]["values"],
                         {"elements": 4, "changed": 2, "max_abs": 4.0, "l2": 5.0,
                          "l2_from": math.sqrt(30), "not_finite": 0})
        self.assertEqual(diff["summary"]["unchanged"], 1)
        text = self.ok("diff", "m:1", "m:2").decode()
        self.assertIn("50 % of 4, max 4, L2 5 of 5.48", text)
        self.assertIn("was moved.old", text)
        self.assertIn("m:1 to m:2: 1 added, 1 removed, 1 renamed, 1 reshaped, 1 recast, 1 changed, "
                      "1 unchanged", text)
        quick = self.json("diff", "m:1", "m:2", "--no-values")
        self.assertFalse(any("values" in c for c in quick["changes"]))

    def test_a_difference_is_a_failure_only_if_asked_for(self):
        self.push_pair("e")
        self.ok("diff", "e:1", "e:2")
        self.ok("diff", "e:1", "e:1", "--exit-code")
        done = self.cli("diff", "e:1", "e:2", "--exit-code")
        self.assertEqual(done.returncode, harness.FAILURE)
        self.assertEqual(done.stderr, b"ballast: diff: e:1 and e:2: 6 tensors differ\n")
        self.fails(harness.NOT_FOUND, "diff", "e:1", "e:9", says="e:9: no such version")
        self.fails(harness.USAGE, "diff", "e:1", "E", says="upper-case")

    def test_values_are_counted_and_shown(self):
        self.push_tensors("h", {"fine": floats(0, 1, -3), "bad": floats(math.nan, math.inf, 2)})
        entries = {e["key"]: e["health"] for e in self.json("inspect", "h")["entries"]}
        self.assertEqual(entries["fine"], {"nan": 0, "inf": 0, "zeros": 1, "min": -3, "max": 1,
                                           "mean": -2 / 3})
        self.assertEqual((entries["bad"]["nan"], entries["bad"]["inf"]), (1, 1))
        self.assertEqual(self.json("show", "h")["health"],
                         {"tensors_counted": 2, "nan": 1, "inf": 1, "keys": ["bad"]})
        self.assertIn("1 NaN, 1 Inf in 1 tensor: bad", self.ok("show", "h").decode())
        self.assertIn("-3 to 1, mean -0.667, 1 zero", self.ok("inspect", "h").decode())

    def test_the_gate_names_what_is_not_finite(self):
        path = harness.write(self.path("nan.safetensors"), safetensors(
            {"a": floats(1), "b": floats(math.nan), "c": floats(math.inf, math.inf)}))
        for how in ([], ["--raw"]):
            self.fails(harness.FAILURE, "push", path, "gate", "--no-nan", *how,
                       says='in 2 tensors: "b" (1 NaN), "c" (2 Inf), want finite numbers')
        self.fails(harness.NOT_FOUND, "show", "gate", says="no such model")
        self.push_tensors("gate", {"a": floats(1)}, "--no-nan")


if __name__ == "__main__":
    harness.main()
