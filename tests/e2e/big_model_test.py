"""A model far larger than the server's memory goes in and out."""
import json
import os
import shutil
import struct

import containers
import harness

GIB = 1 << 30
BLOCK_BYTES = 1 << 20
SIZE_BYTES = (20 if harness.LONG else 6) * GIB
RSS_MAX_BYTES = 300 << 20


class BigModelTest(harness.TestCase):
    def make(self, name):
        """A sparse safetensors file: one tensor above 4 GiB, one with the rest; some real blocks."""
        tensors = [("big", SIZE_BYTES - GIB), ("rest", GIB)]
        header, at = {}, 0
        for key, size in tensors:
            header[key] = {"dtype": "U8", "shape": [size], "data_offsets": [at, at + size]}
            at += size
        head = containers.safetensors_from(header, b"")
        path = self.path(name)
        random = harness.rng("big")
        with open(path, "wb") as f:
            f.write(head)
            f.truncate(len(head) + at)
            for position in range(0, at, 512 << 20):
                f.seek(len(head) + position)
                f.write(random.randbytes(3 * BLOCK_BYTES + 17))
            f.seek(len(head) + at - 5)
            f.write(b"tail!")
        return path

    def need_disk(self, size):
        free = shutil.disk_usage(self.folder).free
        if free < size:
            self.skipTest(f"{free >> 30} GiB of disk free, want {size >> 30}")

    def assert_bounded(self, what):
        if harness.SANITIZED:
            return  # shadow memory counts too
        peak = type(self).server.peak_rss_bytes()
        print(f"{what}: the server's peak memory is {peak >> 20} MiB", flush=True)
        self.assertLess(peak, RSS_MAX_BYTES, what)

    def test_a_model_above_4_gib_goes_in_and_out_in_bounded_memory(self):
        self.need_disk(2 * SIZE_BYTES + 4 * GIB)
        source = self.make("in.safetensors")
        pushed = self.push(source, "big/m", limit_s=600)
        self.assertEqual(pushed["bytes"], SIZE_BYTES)
        self.assertLess(pushed["bytes_new"], 100 << 20, "equal blocks are stored once")
        self.assert_bounded("push")
        out = self.pull("big/m", "out.safetensors", limit_s=600)
        self.assert_bounded("pull")
        self.assert_same_payload(source, out)
        os.remove(out)
        raw = self.push(source, "big/m", "--raw", limit_s=600)
        self.assert_bounded("raw push")
        self.assertEqual(raw["digest"], pushed["digest"])

    def assert_same_payload(self, a, b):
        """Equal tensors; the headers may differ (spaces, metadata)."""
        with open(a, "rb") as fa, open(b, "rb") as fb:
            spans_a, spans_b = self.spans(fa), self.spans(fb)
            self.assertEqual(spans_a.keys(), spans_b.keys())
            for key, (start_a, size) in spans_a.items():
                start_b, size_b = spans_b[key]
                self.assertEqual(size, size_b)
                fa.seek(start_a), fb.seek(start_b)
                left = size
                while left:
                    piece = fa.read(min(left, 8 << 20))
                    self.assertTrue(piece == fb.read(len(piece)), f"{key}: differs")
                    left -= len(piece)

    @staticmethod
    def spans(f):
        length = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(length))
        return {k: (8 + length + v["data_offsets"][0], v["data_offsets"][1] - v["data_offsets"][0])
                for k, v in header.items() if k != "__metadata__"}

    def test_a_pth_above_4_gib_can_be_written_and_read(self):
        if not harness.LONG:
            self.skipTest("only with --long")
        self.need_disk(2 * SIZE_BYTES + 4 * GIB)
        pushed = self.push(self.make("in.safetensors"), "big/pth", limit_s=600)
        out = self.pull("big/pth", "out.pth", "--format", "pytorch", limit_s=600)
        self.assertEqual(self.push(out, "big/pth", limit_s=600)["digest"], pushed["digest"])


if __name__ == "__main__":
    harness.main()
