"""Weight files of random bytes, as safetensors, whose content can be made new in place."""
import itertools
import json
import os
import random
import struct

BLOCK_BYTES = 1 << 20
# In this order also when sorted, as a safetensors writer does it: a pulled file has the same data.
KEY = "model.layers.%05d.weight"
_stamps = itertools.count(1)


class Payload:
    """A safetensors file of uint8 tensors with random content. Not one page of it is zero."""

    def __init__(self, path, tensors, seed=1, row_bytes=None):
        """`tensors`: [(key, bytes), …] in the file's order; matrices with `row_bytes`."""
        self.path = path
        self.tensors = []  # (key, offset in the file, bytes)
        header, at = {}, 0
        for key, size in tensors:
            shape = [size // row_bytes, row_bytes] if row_bytes else [size]
            header[key] = {"dtype": "U8", "shape": shape, "data_offsets": [at, at + size]}
            at += size
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        self.data_offset = 8 + len(text)
        self.bytes = at
        for key, size in tensors:
            self.tensors.append((key, self.data_offset + header[key]["data_offsets"][0], size))
        noise = random.Random(seed)
        with open(path, "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text)
            for done in range(0, at, 16 << 20):
                f.write(noise.randbytes(min(16 << 20, at - done)))
            f.flush()
            os.fsync(f.fileno())

    @property
    def file_bytes(self):
        return self.data_offset + self.bytes

    def renew(self, keys=None):
        """Makes every block (of the tensors `keys`) content that was never there before."""
        stamp = struct.pack("<QQ", next(_stamps), os.getpid())
        with open(self.path, "r+b", buffering=0) as f:
            for key, offset, size in self.tensors:
                if keys is not None and key not in keys:
                    continue
                for at in range(offset, offset + size, BLOCK_BYTES):
                    os.pwrite(f.fileno(), stamp[:min(16, offset + size - at)], at)
            os.fsync(f.fileno())

    def same_data(self, path):
        """Whether a pulled safetensors file holds the same bytes behind its header."""
        with open(self.path, "rb") as a, open(path, "rb") as b:
            a.seek(self.data_offset)
            b.seek(os.path.getsize(path) - self.bytes)
            while piece := a.read(8 << 20):
                if piece != b.read(len(piece)):
                    return False
        return True


def sizes(total, count):
    """`count` tensors of different sizes, `total` bytes together: as in real models, a few large
    ones and many small ones."""
    shapes = [1 + (i % 7) * (i % 3) for i in range(count)]
    unit = total // sum(shapes)
    out = [(KEY % i, unit * s) for i, s in enumerate(shapes)]
    key, last = out[-1]
    out[-1] = (key, last + total - sum(size for _, size in out))
    return out


def even(total, each):
    return [(KEY % i, each) for i in range(total // each)]
