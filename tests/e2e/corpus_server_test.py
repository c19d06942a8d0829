"""Real files through the server: each is pushed, pulled in every format, and compared."""
import os

import corpus
import harness

FORMATS = ("torchsharp", "pytorch", "pytorch-legacy", "safetensors")
FILES_MIN = 90  # that load


class CorpusServerTest(harness.TestCase):
    def found(self, path, manifest, **changes):
        """What differs in the file from the manifest; None if nothing does."""
        checker = corpus.checker()
        return checker.compare({**manifest, **changes}, self.json("inspect", path, "--digests"))

    def pulled(self, reference, name, format_name, manifest):
        """What is wrong with the version in this format; None if nothing is."""
        out = self.path("pulled")
        done = self.cli("pull", reference, "-o", out, "--format", format_name, "--force",
                        "--with-optimizer")
        if done.returncode != harness.OK:
            text = done.stderr.decode()
            self.assertIn("dtype that " + format_name + " lacks", text, name)
            return None
        wrong = self.found(out, manifest, order_significant=False)
        os.remove(out)
        return wrong

    def check_raw(self, path, model, digest, manifest):
        if manifest["kind"] == "torchsharp-tensor-dat":
            self.fails(harness.FAILURE, "push", path, model, "--raw",
                       says="cannot be read front to back")
            return
        raw = self.push(path, model, "--raw")
        self.assertEqual(raw["digest"], digest)
        self.assertEqual(raw["bytes_new"], 0)

    def test_every_file_comes_back_in_every_format(self):
        count = 0
        for path, manifest in corpus.loadable():
            name = corpus.name_of(path)
            model = f"corpus/n{count}"
            pushed = self.push(path, model)
            with self.subTest(file=name):
                for format_name in FORMATS:
                    self.assertIsNone(self.pulled(pushed["reference"], name, format_name, manifest),
                                      format_name)
                self.check_raw(path, model, pushed["digest"], manifest)
            count += 1
        self.assertGreaterEqual(count, FILES_MIN)


if __name__ == "__main__":
    corpus.require()
    harness.main()
