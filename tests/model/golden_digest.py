#!/usr/bin/env python3
"""Prints the version digest that manifest_test.cc expects.

Written from the definition in PRODUCT terms, not from the C++ source: blocks of 1 MiB,
tensor digest = SHA-256 of the block digests, version digest = SHA-256 over the tag and,
in byte order of the keys, u32 key length, key, u8 dtype length, dtype, u8 ndim, u64 dims,
tensor digest.
"""
import hashlib
import struct

BLOCK_BYTES = 1 << 20

ENTRIES = [
    ("fc.weight", "float32", (3, 2), bytes(range(24))),
    ("big", "uint8", (BLOCK_BYTES + 1,), bytes(i % 251 for i in range(BLOCK_BYTES + 1))),
    ("", "int64", (), struct.pack("<q", 7)),
    ("Ünï", "bfloat16", (0, 4), b""),
]


def tensor_digest(data):
    blocks = [data[i : i + BLOCK_BYTES] for i in range(0, len(data), BLOCK_BYTES)]
    return hashlib.sha256(b"".join(hashlib.sha256(b).digest() for b in blocks)).digest()


def version_digest(entries):
    h = hashlib.sha256(b"ballast.version.v1\0")
    for key, dtype, shape, data in sorted(entries, key=lambda e: e[0].encode()):
        raw = key.encode()
        h.update(struct.pack("<I", len(raw)) + raw)
        h.update(bytes([len(dtype)]) + dtype.encode())
        h.update(bytes([len(shape)]) + b"".join(struct.pack("<Q", d) for d in shape))
        h.update(tensor_digest(data))
    return h.hexdigest()


if __name__ == "__main__":
    print(version_digest(ENTRIES))
    print(version_digest([]))
