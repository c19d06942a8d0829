"""The gate: what does not fit is refused before its payload moves, and leaves nothing behind."""
import json
import os

import containers
import harness

ENTRIES = [("fc.weight", "float32", (2, 3), b"w" * 24), ("fc.bias", "float32", (2,), b"b" * 8)]


def schema(*entries):
    return {"ballast_schema": 1, "entries": [
        {"key": k, "shape": list(s), **({"dtype": d} if d else {})} for k, d, s in entries]}


FITTING = schema(("fc.weight", "float32", (2, 3)), ("fc.bias", "float32", (2,)))


class SchemaTest(harness.TestCase):
    def file(self, entries=ENTRIES, maker=containers.pth, name="in.pth"):
        return harness.write(self.path(name), maker(entries))

    def schema_file(self, document, name="schema.json"):
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        return harness.write(self.path(name), text)

    def refused(self, *args, **options):
        """Runs a command that the gate refuses; returns its report (stdout, JSON)."""
        done = self.cli(*args, "--json", **options)
        self.assertEqual(done.returncode, harness.SCHEMA, done.stderr.decode())
        self.assertTrue(done.stderr.decode().startswith("ballast: "), done.stderr)
        return json.loads(done.stdout)

    def assert_no_version(self, model):
        self.fails(harness.NOT_FOUND, "pull", model, "-o", self.path("none"))

    def test_a_fitting_push_passes_in_every_container(self):
        path = self.schema_file(FITTING)
        for name, maker in (("a.pth", containers.pth), ("a.dat", containers.dat),
                            ("a.safetensors", containers.safetensors)):
            for raw in ([], ["--raw"]):
                self.push(self.file(maker=maker, name=name), "schema/fits", "--schema", path, *raw)

    def test_every_kind_of_difference_is_refused_and_reported(self):
        rows = [
            (schema(("fc.weight", "float32", (2, 3)), ("fc.bias", "float32", (2,)),
                    ("more", None, ())), "missing", "more"),
            (schema(("fc.weight", "float32", (2, 3))), "unexpected", "fc.bias"),
            (schema(("fc.weight", "float32", (2, 4)), ("fc.bias", "float32", (2,))),
             "shape_mismatches", "fc.weight"),
            (schema(("fc.weight", "float32", (2, 3)), ("fc.bias", "float16", (2,))),
             "dtype_mismatches", "fc.bias"),
            (schema(("fc.weight", None, ("n", 3)), ("fc.bias", None, ("n",)), ("m", None, ())),
             "missing", "m"),
        ]
        source = self.file()
        for document, member, key in rows:
            path = self.schema_file(document)
            for command in (["push", source, "schema/refused"],
                            ["push", source, "schema/refused", "--raw"], ["validate", source]):
                with self.subTest(member=member, command=command[0], raw="--raw" in command):
                    report = self.refused(*command, "--schema", path)
                    self.assertFalse(report["ok"])
                    self.assertTrue(report["strict"])
                    self.assertEqual([i["key"] for i in report[member]], [key])
        self.assert_no_version("schema/refused")

    def test_named_dims_must_agree(self):
        good = self.schema_file(schema(("fc.weight", None, ("out", "in")), ("fc.bias", None, ("out",))))
        self.ok("validate", self.file(), "--schema", good)
        bad = self.schema_file(schema(("fc.weight", None, ("out", "in")), ("fc.bias", None, ("in",))))
        report = self.refused("validate", self.file(), "--schema", bad)
        self.assertEqual(len(report["shape_mismatches"]), 1)

    def test_a_refused_push_moves_no_payload(self):
        big = [("w", "uint8", (16 << 20,), harness.rng("big").randbytes(16 << 20))]
        path = self.file(big)
        before = self.payload_in_store()
        self.refused("push", path, "schema/big", "--schema", self.schema_file(FITTING))
        self.assert_no_version("schema/big")
        self.assertLess(self.payload_in_store() - before, 1 << 20)

    def payload_in_store(self):
        total = 0
        for folder, _, names in os.walk(type(self).server.data_dir):
            for name in names:
                try:
                    total += os.path.getsize(os.path.join(folder, name))
                except FileNotFoundError:
                    pass  # the engine removed it meanwhile
        return total

    def test_suggestions_name_the_prefix_and_the_similar_key(self):
        prefixed = self.file([("module." + k, d, s, b) for k, d, s, b in ENTRIES])
        report = self.refused("validate", prefixed, "--schema", self.schema_file(FITTING))
        self.assertIn("module.", json.dumps(report))
        typo = self.file([("fc.wieght", "float32", (2, 3), b"w" * 24), ENTRIES[1]])
        report = self.refused("validate", typo, "--schema", self.schema_file(FITTING))
        self.assertIn("suggestion", json.dumps(report["missing"] + report["unexpected"]))

    def test_rename_and_select_come_before_the_gate(self):
        path = self.schema_file(FITTING)
        prefixed = self.file([("net.module." + k, d, s, b) for k, d, s, b in ENTRIES])
        for raw in ([], ["--raw"]):
            self.push(prefixed, "schema/rules", "--select", "net", "--rename", r"module\.(.*)=\1",
                      "--schema", path, *raw)

    def test_two_keys_renamed_to_one_are_refused(self):
        self.fails(harness.FAILURE, "push", self.file(), "schema/clash", "--rename", "fc\\..*=x",
                   says="x")
        self.assert_no_version("schema/clash")

    def test_a_bound_schema_gates_every_later_push(self):
        self.ok("schema", self.schema_file(FITTING), "--bind", "schema/bound")
        self.push(self.file(), "schema/bound")
        other = self.file([("x", "uint8", (1,), b"x")], name="other.pth")
        for raw in ([], ["--raw"]):
            self.refused("push", other, "schema/bound", *raw)
        self.fails(harness.NOT_FOUND, "pull", "schema/bound:2", "-o", self.path("none"))
        self.ok("schema", "--unbind", "schema/bound")
        self.assertEqual(self.push(other, "schema/bound")["version"], 2)

    def test_the_schema_of_a_version_is_what_it_fulfils(self):
        self.push(self.file(), "schema/of")
        text = self.ok("schema", "schema/of")
        got = json.loads(text)
        self.assertEqual(got["ballast_schema"], 1)
        self.assertEqual([(e["key"], e["dtype"], e["shape"]) for e in got["entries"]],
                         [(k, d, list(s)) for k, d, s, _ in ENTRIES])
        self.ok("validate", "schema/of", "--schema", self.schema_file(text))
        self.ok("validate", self.file(), "--schema", "schema/of")
        self.assertEqual(json.loads(self.ok("schema", self.file()))["entries"], got["entries"])

    def test_pull_checks_against_a_schema_before_it_writes(self):
        self.push(self.file(), "schema/pull")
        out = self.path("out.dat")
        self.refused("pull", "schema/pull", "-o", out, "--schema",
                     self.schema_file(schema(("other", None, ()))))
        self.assertFalse(os.path.exists(out))
        self.pull("schema/pull", "out.dat", "--schema", self.schema_file(FITTING))

    def test_non_strict_allows_missing_and_unexpected_but_no_mismatch(self):
        self.push(self.file(), "schema/loose")
        more = schema(("fc.weight", "float32", (2, 3)), ("absent", None, ()))
        self.pull("schema/loose", "a.dat", "--no-strict", "--schema", self.schema_file(more))
        wrong = schema(("fc.weight", "float32", (3, 3)))
        report = self.refused("pull", "schema/loose", "-o", self.path("b.dat"), "--no-strict",
                              "--schema", self.schema_file(wrong))
        self.assertFalse(report["strict"])

    def test_what_is_no_schema_is_a_usage_error(self):
        rows = [
            (b"not json", "json"), (b"", ""), (b"[]", ""), (b"{}", "ballast_schema"),
            (b'{"ballast_schema":2,"entries":[]}', "ballast_schema"),
            (b'{"ballast_schema":1,"entries":[],"more":1}', "more"),
            (b'{"ballast_schema":1,"entries":[{"key":"a"}]}', "shape"),
            (b'{"ballast_schema":1,"entries":[{"key":"a","shape":[-2]}]}', "dim"),
            (b'{"ballast_schema":1,"entries":[{"key":"a","shape":[],"dtype":"float"}]}', "dtype"),
            (b'{"ballast_schema":1,"entries":[{"key":"a","shape":[]},{"key":"a","shape":[]}]}', "a"),
            (b"[" * 100_000, ""),
        ]
        source = self.file()
        for text, says in rows:
            with self.subTest(text=text[:60]):
                path = self.schema_file(text)
                self.fails(harness.USAGE, "validate", source, "--schema", path, says=says)
                self.fails(harness.USAGE, "push", source, "schema/none", "--schema", path, says=says)
        self.assert_no_version("schema/none")


if __name__ == "__main__":
    harness.main()
