"""One set of weights through every container and every way: push, pull, convert."""
import os
import struct

import containers
import harness

FORMATS = {"torchsharp": "dat", "pytorch": "pth", "pytorch-legacy": "pth",
           "safetensors": "safetensors"}


def sample():
    random = harness.rng("formats")
    return [
        ("fc.weight", "float32", (5, 3), random.randbytes(60)),
        ("fc.bias", "bfloat16", (5,), random.randbytes(10)),
        ("bn.num_batches_tracked", "int64", (), struct.pack("<q", 7)),
        ("empty", "float64", (3, 0), b""),
        ("mask", "bool", (4,), b"\0\1\1\0"),
        ("schlüssel.重み", "int16", (2, 2), random.randbytes(8)),
        ("larger", "uint8", (3_000_001,), random.randbytes(3_000_001)),
    ]


MAKERS = {"torchsharp": containers.dat, "pytorch": containers.pth,
          "pytorch-legacy": containers.pth_legacy, "safetensors": containers.safetensors}


class FormatsTest(harness.TestCase):
    def make(self, format_name, entries=None):
        path = self.path(f"in-{format_name}.{FORMATS[format_name]}")
        return harness.write(path, MAKERS[format_name](entries or sample()))

    def entries_of(self, subject, *args):
        found = self.json("inspect", subject, "--digests", *args)["entries"]
        return sorted((e["key"], e["dtype"], tuple(e["shape"]), e["sha256"]) for e in found)

    def test_the_digest_does_not_depend_on_the_container(self):
        digests = {f: self.push(self.make(f), "fmt/digest")["digest"] for f in FORMATS}
        self.assertEqual(len(set(digests.values())), 1, digests)

    def test_the_second_push_of_known_content_sends_and_stores_nothing(self):
        first = self.push(self.make("pytorch"), "fmt/known")
        again = self.push(self.make("safetensors"), "fmt/known")
        self.assertEqual(again["version"], first["version"] + 1)
        self.assertEqual((again["bytes_sent"], again["bytes_new"]), (0, 0))
        self.assertEqual(again["bytes"], sum(len(e[3]) for e in sample()))

    def test_raw_pushes_give_the_same_digest(self):
        manifest_mode = self.push(self.make("torchsharp"), "fmt/raw")["digest"]
        for name in FORMATS:
            self.assertEqual(self.push(self.make(name), "fmt/raw", "--raw")["digest"], manifest_mode)

    def test_stdin_is_a_raw_push(self):
        manifest_mode = self.push(self.make("torchsharp"), "fmt/stdin")["digest"]
        for name in FORMATS:
            data = harness.read(self.make(name))
            pushed = self.push("-", "fmt/stdin", stdin=data)
            self.assertEqual(pushed["digest"], manifest_mode, name)

    def test_pulling_twice_gives_the_same_bytes(self):
        self.push(self.make("pytorch"), "fmt/twice")
        for name in FORMATS:
            first = self.pull("fmt/twice", "a." + name, "--format", name)
            second = self.pull("fmt/twice", "b." + name, "--format", name)
            self.assertEqual(harness.read(first), harness.read(second), name)

    def test_dat_comes_back_byte_for_byte(self):
        source = self.make("torchsharp")
        self.push(source, "fmt/dat")
        self.assertEqual(harness.read(self.pull("fmt/dat", "out.dat")), harness.read(source))

    def test_pull_writes_what_was_pushed_unless_told(self):
        for name in FORMATS:
            self.push(self.make(name), "fmt/default")
            out = self.pull("fmt/default", "default." + name)
            self.assertEqual(self.json("inspect", out)["format"], name)

    def test_local_convert_server_convert_and_pull_agree(self):
        for source_format in FORMATS:
            source = self.make(source_format)
            self.push(source, "fmt/agree")
            for target in FORMATS:
                with self.subTest(source=source_format, target=target):
                    local, remote = self.path("local"), self.path("remote")
                    self.ok("convert", source, local, "--to", target, "--local")
                    self.ok("convert", source, remote, "--to", target)
                    pulled = self.pull("fmt/agree", "pulled", "--format", target)
                    self.assertEqual(harness.read(local), harness.read(remote))
                    self.assertEqual(harness.read(local), harness.read(pulled))
                    for path in (local, remote, pulled):
                        os.remove(path)

    def test_local_convert_needs_no_server(self):
        out = self.path("out.safetensors")
        self.ok("convert", self.make("pytorch"), out, "--to", "safetensors", "--local",
                server="127.0.0.1:1")
        self.assertTrue(os.path.exists(out))

    def test_convert_streams_from_stdin_to_stdout(self):
        data = harness.read(self.make("safetensors"))
        out = self.ok("convert", "-", "-", "--to", "torchsharp", stdin=data)
        self.assertEqual(out, containers.dat(sample()))

    def test_a_pull_takes_from_a_file_what_it_has(self):
        old = self.make("pytorch")
        self.push(old, "fmt/delta")
        changed = [(k, d, s, b[:-1] + bytes([b[-1] ^ 1]) if k == "larger" else b)
                   for k, d, s, b in sample()]
        self.push(self.make("safetensors", changed), "fmt/delta")
        whole = self.pull("fmt/delta", "whole.dat", "--format", "torchsharp")
        out = self.path("delta.dat")
        pulled = self.json("pull", "fmt/delta", "-o", out, "--format", "torchsharp", "--have", old)
        self.assertEqual(harness.read(out), harness.read(whole))
        last = len(sample()[-1][3]) % (1 << 20)
        every = sum(len(e[3]) for e in sample())
        self.assertEqual((pulled["bytes_received"], pulled["bytes_reused"]), (last, every - last))
        said = self.ok("pull", "fmt/delta", "-o", old, "--force", "--have", old).decode()
        self.assertIn(" received, ", said)
        self.assertEqual(harness.read(old), harness.read(self.pull("fmt/delta", "w.safetensors")))
        self.fails(harness.USAGE, "pull", "fmt/delta", "-o", "-", "--have", old, says="--have")
        self.fails(harness.USAGE, "pull", "fmt/delta", "-o", self.path("shards"), "--have", old,
                   "--max-shard-size", "1MB", says="--have")
        absent = self.path("absent.pth")
        self.fails(harness.NOT_FOUND, "pull", "fmt/delta", "-o", self.path("x"), "--have", absent,
                   says="absent.pth")
        self.assertFalse(os.path.exists(self.path("x")))

    def test_pull_to_stdout_writes_the_file_and_nothing_else(self):
        source = self.make("torchsharp")
        self.push(source, "fmt/stdout")
        self.assertEqual(self.ok("pull", "fmt/stdout", "-o", "-"), harness.read(source))

    def test_pull_names_the_file_after_the_model(self):
        self.push(self.make("pytorch"), "fmt/named")
        for name, extension in FORMATS.items():
            self.ok("pull", "fmt/named", "--format", name, cwd=self.folder)
            os.remove(self.path("named." + extension))

    def test_a_plain_dict_gets_a_format_that_has_one(self):
        for name in FORMATS:
            self.push(self.make(name), "fmt/plain")
            self.ok("pull", "fmt/plain", "--plain-dict", cwd=self.folder)
            out = self.path("plain.pth")
            want = name if name.startswith("pytorch") else "pytorch"
            self.assertEqual(self.json("inspect", out)["format"], want)
            local = self.path("local.pth")
            self.ok("convert", self.make(name), local, "--to", want, "--plain-dict", "--local")
            self.assertEqual(harness.read(local), harness.read(out))
            os.remove(out)
            os.remove(local)
            for other in ("torchsharp", "safetensors"):
                self.fails(harness.USAGE, "pull", "fmt/plain", "--plain-dict", "--format", other,
                           says=("--plain-dict", other))

    def test_inspect_agrees_for_file_and_version_in_every_format(self):
        want = self.entries_of(self.make("safetensors"))
        self.assertEqual(len(want), len(sample()))
        for name in FORMATS:
            source = self.make(name)
            self.assertEqual(self.entries_of(source), want, name)
            self.push(source, "fmt/inspect")
            self.assertEqual(self.entries_of("fmt/inspect"), want, name)

    def test_verify_sha256_checks_every_byte(self):
        self.push(self.make("pytorch"), "fmt/verify")
        out = self.pull("fmt/verify", "v.dat", "--format", "torchsharp", "--verify=sha256")
        self.assertEqual(self.entries_of(out), self.entries_of("fmt/verify"))

    def test_an_empty_state_dict_is_valid(self):
        for name, maker in MAKERS.items():
            path = harness.write(self.path("empty." + name), maker([]))
            pushed = self.push(path, "fmt/empty", "--format", name)
            self.assertEqual(pushed["bytes"], 0)
            self.assertTrue(pushed["warnings"], "a push of nothing warns")

    def test_a_dtype_that_the_target_lacks_is_named(self):
        path = harness.write(self.path("u16.safetensors"), containers.safetensors(
            [("odd", "uint16", (2,), b"abcd")]))
        self.push(path, "fmt/lacks")
        out = self.path("x.dat")
        self.fails(harness.FAILURE, "pull", "fmt/lacks", "--format", "torchsharp", "-o", out,
                   says=("odd", "uint16"))
        self.fails(harness.FAILURE, "convert", path, out, "--to", "torchsharp", "--local",
                   says=("odd", "uint16"))
        self.assertFalse(os.path.exists(out))

    def test_include_exclude_and_rename_choose_what_is_pulled(self):
        self.push(self.make("pytorch"), "fmt/rules")
        out = self.pull("fmt/rules", "r.safetensors", "--format", "safetensors", "--include", "fc.*",
                        "--exclude", "*.bias", "--rename", r"fc\.(.*)=head.\1")
        self.assertEqual([e[0] for e in self.entries_of(out)], ["head.weight"])

    def test_select_takes_a_subtree_and_strips_its_prefix(self):
        entries = [("model." + k, d, s, b) for k, d, s, b in sample()] + [
            ("other.x", "uint8", (1,), b"x")]
        path = self.make("safetensors", entries)
        self.push(path, "fmt/select", "--select", "model")
        self.assertEqual(self.entries_of("fmt/select"), self.entries_of(self.make("torchsharp")))
        self.fails(harness.NOT_FOUND, "push", path, "fmt/select", "--select", "absent",
                   says="model")


class NamesTest(harness.TestCase):
    """Versions, references and aliases."""

    def small(self, value):
        return harness.write(self.path(f"{value}.dat"), containers.dat(
            [("k", "int64", (), struct.pack("<q", value))]))

    def value(self, reference):
        return struct.unpack("<q", harness.read(self.pull(reference, "v.dat", "--force"))[-8:])[0]

    def test_every_kind_of_reference_finds_its_version(self):
        digests = [self.push(self.small(n), "names/m")["digest"] for n in (1, 2, 3)]
        self.ok("alias", "set", "names/m", "prod", "names/m:2")
        for reference, want in [("names/m", 3), ("names/m:latest", 3), ("names/m@latest", 3),
                                ("names/m:1", 1), ("names/m@prod", 2),
                                ("names/m@" + digests[0], 1)]:
            self.assertEqual(self.value(reference), want, reference)

    def test_versions_are_numbered_from_one_and_named_in_the_answer(self):
        first = self.push(self.small(1), "names/count")
        self.assertEqual((first["reference"], first["model"], first["version"]),
                         ("names/count:1", "names/count", 1))
        self.assertEqual(self.push(self.small(1), "names/count")["reference"], "names/count:2")

    def test_a_push_moves_an_alias_in_the_same_step(self):
        self.push(self.small(1), "names/alias", "--alias", "prod")
        self.push(self.small(2), "names/alias")
        self.assertEqual(self.value("names/alias@prod"), 1)
        self.push(self.small(3), "names/alias", "--alias", "prod")
        self.assertEqual(self.value("names/alias@prod"), 3)

    def test_an_alias_moves_only_from_where_it_is_expected(self):
        for n in (1, 2, 3):
            self.push(self.small(n), "names/expect")
        self.ok("alias", "set", "names/expect", "prod", "names/expect:1")
        self.fails(harness.FAILURE, "alias", "set", "names/expect", "prod", "names/expect:3",
                   "--expect", "names/expect:2", says="prod")
        self.assertEqual(self.value("names/expect@prod"), 1)
        self.ok("alias", "set", "names/expect", "prod", "names/expect:3",
                "--expect", "names/expect:1")
        self.assertEqual(self.value("names/expect@prod"), 3)
        self.ok("alias", "rm", "names/expect", "prod")
        self.fails(harness.NOT_FOUND, "pull", "names/expect@prod", "-o", self.path("x"))

    def test_listings_name_models_and_versions(self):
        for n in (1, 2):
            self.push(self.small(n), "names/list/a", "--message", f"run {n}", "--label", "k=v")
        self.push(self.small(1), "names/list/b")
        listing = self.ok("ls", "names/list/").decode()
        self.assertIn("names/list/a", listing)
        self.assertIn("names/list/b", listing)
        self.assertNotIn("names/list/b", self.ok("ls", "names/list/a").decode())
        versions = self.ok("versions", "names/list/a").decode()
        self.assertIn("run 1", versions)
        self.assertIn("run 2", versions)
        self.assertIn("sha256:", self.ok("show", "names/list/a:1").decode())

    def test_what_does_not_exist_is_exit_code_3(self):
        out = self.path("x.dat")
        for reference in ("names/absent", "names/absent:1", "names/absent@prod"):
            self.fails(harness.NOT_FOUND, "pull", reference, "-o", out, says="names/absent")
        self.push(self.small(1), "names/one")
        self.fails(harness.NOT_FOUND, "pull", "names/one:9", "-o", out, says="9")
        self.fails(harness.NOT_FOUND, "versions", "names/absent")
        self.assertFalse(os.path.exists(out))

    def test_a_subject_that_is_neither_file_nor_version_says_that_both_were_tried(self):
        self.fails(harness.NOT_FOUND, "inspect", "names/neither", says="file")


if __name__ == "__main__":
    harness.main()
