"""Writes small containers by hand, independently of Ballast, for good and bad input.

A state dict here is a list of (key, dtype, shape, bytes).
"""
import io
import json
import pickle
import struct
import zipfile

SAFETENSORS_DTYPES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64",
    "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64", "uint16": "U16",
    "uint32": "U32", "uint64": "U64", "float8_e5m2": "F8_E5M2", "float8_e4m3fn": "F8_E4M3",
}
SCALAR_TYPES = {
    "uint8": 0, "int8": 1, "int16": 2, "int32": 3, "int64": 4, "float16": 5, "float32": 6,
    "float64": 7, "complex64": 9, "complex128": 10, "bool": 11, "bfloat16": 15,
}
STORAGES = {
    "float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage", "uint8": "ByteStorage", "int8": "CharStorage",
    "int16": "ShortStorage", "int32": "IntStorage", "int64": "LongStorage",
    "bool": "BoolStorage",
}
WIDTHS = {"uint8": 1, "int8": 1, "bool": 1, "int16": 2, "float16": 2, "bfloat16": 2, "int32": 4,
          "float32": 4, "int64": 8, "float64": 8}


def leb128(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def dat_entry(key, dtype, shape, data):
    raw = key.encode()
    number = SCALAR_TYPES.get(dtype, dtype)
    return (leb128(len(raw)) + raw + leb128(number) + leb128(len(shape))
            + b"".join(map(leb128, shape)) + data)


def dat(entries):
    """TorchSharp's module file: count, then per entry key, dtype, ndim, dims, data."""
    return leb128(len(entries)) + b"".join(dat_entry(*e) for e in entries)


def safetensors_from(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def safetensors(entries, metadata=None):
    header, data = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for key, dtype, shape, raw in entries:
        header[key] = {"dtype": SAFETENSORS_DTYPES[dtype], "shape": list(shape),
                       "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    return safetensors_from(header, data)


class _Op:
    """Pickle opcodes, protocol 2, as torch.save emits them."""

    @staticmethod
    def text(s):
        raw = s.encode()
        return b"X" + struct.pack("<I", len(raw)) + raw

    @staticmethod
    def integer(n):
        if 0 <= n < 256:
            return b"K" + bytes([n])
        if -(1 << 31) <= n < 1 << 31:
            return b"J" + struct.pack("<i", n)
        return pickle.dumps(n, 2)[2:-1]

    @staticmethod
    def numbers(values):
        return b"(" + b"".join(map(_Op.integer, values)) + b"t"


def strides_of(shape):
    out, step = [], 1
    for dim in reversed(shape):
        out.insert(0, step)
        step *= max(dim, 1)
    return out


def pth_pickle(entries, legacy=False):
    """data.pkl of a dict of tensors, each with a storage of its own."""
    out = b"\x80\x02}("
    for index, (key, dtype, shape, raw) in enumerate(entries):
        count = len(raw) // WIDTHS[dtype]
        storage = (b"(" + _Op.text("storage") + f"ctorch\n{STORAGES[dtype]}\n".encode()
                   + _Op.text(str(index)) + _Op.text("cpu") + _Op.integer(count)
                   + (b"N" if legacy else b"") + b"tQ")
        out += (_Op.text(key) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage
                + _Op.integer(0) + _Op.numbers(shape) + _Op.numbers(strides_of(shape))
                + b"\x89ccollections\nOrderedDict\n)RtR")
    return out + b"u."


def pth_from(data_pkl, records=(), version=b"3\n"):
    """A zip of stored records as torch.save makes it, from any data.pkl."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as z:
        z.writestr("archive/data.pkl", data_pkl)
        for index, raw in enumerate(records):
            z.writestr(f"archive/data/{index}", raw)
        z.writestr("archive/version", version)
    return buffer.getvalue()


def pth_legacy(entries):
    """The stream of pickles from before 1.6; storages lie in the order of their sorted keys."""
    keys = sorted(map(str, range(len(entries))))
    out = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    out += pickle.dumps({"protocol_version": 1001, "little_endian": True}, 2)
    out += pth_pickle(entries, legacy=True) + pickle.dumps(keys, 2)
    for _, dtype, _, raw in (entries[int(key)] for key in keys):
        out += struct.pack("<q", len(raw) // WIDTHS[dtype]) + raw
    return out


def pth(entries):
    return pth_from(pth_pickle(entries), [raw for _, _, _, raw in entries])


