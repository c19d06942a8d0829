"""Rows of a tensor by the command line, compared with torch's slices."""
import os

import harness

try:
    import torch
except ImportError:
    harness.skip_all("no python3-torch")


class RowsTest(harness.TestCase):
    def setUp(self):
        super().setUp()
        generator = torch.Generator().manual_seed(11)
        self.state = {
            "embed.weight": torch.randn((9000, 100), generator=generator),  # several blocks
            "a=b[*]": torch.arange(24).reshape(4, 3, 2),
            "bias": torch.randn(7, generator=generator).bfloat16(),
            "scale": torch.tensor(2.5),
        }
        torch.save(self.state, self.path("in.pth"))
        self.push(self.path("in.pth"), "rows/net")

    def rows(self, text, *args):
        out = self.path("out")
        answer = self.json("pull", "rows/net", "--rows", text, "-o", out, "--force", *args)
        return answer, torch.load(out, weights_only=True)

    def test_rows_are_those_of_torch(self):
        for key, first, last in (
                ("embed.weight", 0, 64), ("embed.weight", 2600, 2700), ("embed.weight", 8999, 9000),
                ("embed.weight", None, 3), ("embed.weight", 8000, None), ("embed.weight", None, None),
                ("embed.weight", 5, 5), ("a=b[*]", 1, 3), ("bias", 2, 6), ("bias", 7, None)):
            with self.subTest(key=key, first=first, last=last):
                text = f"{key}={'' if first is None else first}:{'' if last is None else last}"
                answer, got = self.rows(text)
                want = self.state[key][first:last]
                self.assertEqual(list(got), [key])
                self.assertEqual(got[key].dtype, want.dtype)
                self.assertEqual(got[key].shape, want.shape)
                self.assertTrue(torch.equal(got[key], want))
                self.assertEqual(answer["key"], key)
                self.assertEqual(answer["shape"], list(want.shape))
                self.assertEqual(answer["tensor_shape"], list(self.state[key].shape))
                self.assertEqual(answer["first_row"], first or 0)
                self.assertEqual(answer["rows"], len(want))
                self.assertEqual(answer["payload_bytes"], want.numel() * want.element_size())
                self.assertEqual(answer["bytes"], os.path.getsize(self.path("out")))
                self.assertTrue(answer["reference"].startswith("rows/net:"))

    def test_stdout_is_the_same_file_in_any_format(self):
        for form in ("pytorch", "pytorch-legacy", "safetensors", "torchsharp"):
            with self.subTest(form=form):
                args = ("pull", "rows/net", "--rows", "embed.weight=10:20", "--format", form)
                self.ok(*args, "-o", self.path(form))
                piped = self.ok(*args, "-o", "-")
                self.assertEqual(piped, harness.read(self.path(form)))
                document = self.json("inspect", self.path(form))
                self.assertEqual(document["format"], form)
                self.assertEqual([e["shape"] for e in document["entries"]], [[10, 100]])

    def test_what_is_not_there_is_refused_and_leaves_no_file(self):
        out = self.path("out")
        for code, text, says in (
                (harness.NOT_FOUND, "embed.wieght=0:1", "the nearest are \"embed.weight\""),
                (harness.FAILURE, "embed.weight=8990:9001", "shape is [9000, 100]"),
                (harness.FAILURE, "scale=0:1", "want a dimension"),
                (harness.USAGE, "embed.weight", "want KEY=FIRST:LAST"),
                (harness.USAGE, "embed.weight=3:2", "want at least FIRST")):
            with self.subTest(text=text):
                self.fails(code, "pull", "rows/net", "--rows", text, "-o", out, says=(says,))
                self.assertFalse(os.path.exists(out))


if __name__ == "__main__":
    harness.main()
