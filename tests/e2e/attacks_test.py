"""Files that cost their reader as much as they can: each is refused within a second of
processor time and 100 MiB. And 1 048 576 tensors, which are no attack.

The kernel ends a process that goes over its processor time or address space, and its own
count of resident memory is compared, so that the load of the machine does not matter.
"""
import os
import resource
import struct
import subprocess
import tempfile
import zlib

import containers
import harness
from containers import leb128

GIB = 1 << 30
MIB = 1 << 20
MILLION = 1 << 20  # limits.entries_max
REFUSED_IN_CPU_S = 1
REFUSED_IN_BYTES = 100 * MIB
ACCEPTED_IN_CPU_S = 60
ADDRESS_SPACE_BYTES = 4 * GIB

text = containers._Op.text
integer = containers._Op.integer
GOOD = [("w", "float32", (4,), b"x" * 16)]


def limit_to(cpu_s):
    """For the child, between fork and exec. Sanitizers reserve terabytes and are slow."""
    def apply():
        seconds = cpu_s * harness.SLOWER
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        if not harness.SANITIZED:
            resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    return apply


def deflated_zeros(size):
    """A raw deflate stream of `size` zeros, a multiple of 1 MiB, without making them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece * (size // MIB) + packer.flush()


class Zip:
    """A zip on disk, record by record."""

    def __init__(self, path):
        self.file = open(path, "wb")
        self.directory = []

    def add(self, name, stored, size=None, method=0, crc=None):
        size = len(stored) if size is None else size
        crc = zlib.crc32(stored) if crc is None else crc
        fields = struct.pack("<HHHIIIIHH", 0, method, 0, 0, crc, len(stored), size, len(name), 0)
        self.directory.append(b"PK\1\2" + struct.pack("<HH", 20, 20) + fields
                              + struct.pack("<HHHII", 0, 0, 0, 0, self.file.tell())
                              + name.encode())
        self.file.write(b"PK\3\4" + struct.pack("<H", 20) + fields + name.encode() + stored)

    def close(self, entries=None):
        offset, directory = self.file.tell(), b"".join(self.directory)
        entries = len(self.directory) if entries is None else entries
        ends = offset + len(directory)
        self.file.write(directory + b"PK\6\6" + struct.pack(
            "<QHHIIQQQQ", 44, 20, 45, 0, 0, entries, entries, len(directory), offset)
            + b"PK\6\7" + struct.pack("<IQI", 0, ends, 1) + b"PK\5\6" + struct.pack(
                "<HHHHIIH", 0, 0, min(entries, 0xFFFF), min(entries, 0xFFFF), len(directory),
                offset, 0))
        self.file.close()
        return self.file.name


class BoundedTest(harness.TestCase):
    WITH_SERVER = False

    def bounded(self, cpu_s, *args):
        """Runs `ballast` within limits; exit code, stdout, stderr, peak bytes, CPU seconds."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen([harness.ballast(), *args], stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=err, preexec_fn=limit_to(cpu_s),
                                       env=harness.clean_env())
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            err.seek(0)
            return (process.returncode, out.read(), err.read().decode(errors="replace"),
                    usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime)

    def write(self, name, data):
        return harness.write(self.path(name), data)


class AttackTest(BoundedTest):
    def refused(self, path, says):
        """By inspect, which reads every byte with --digests, and says why on one line."""
        code, out, err, peak, cpu = self.bounded(REFUSED_IN_CPU_S, "inspect", path, "--json",
                                                 "--digests")
        print(f"  {os.path.basename(path)}: {peak / MIB:.0f} MiB, {cpu:.2f} s: {err[-120:]!r}")
        self.assertEqual((code, out), (harness.FAILURE, b""), err)
        self.assertEqual(err.count("\n"), 1, err)
        self.assertIn(says, err)
        if not harness.SANITIZED:
            self.assertLess(peak, REFUSED_IN_BYTES)
            self.assertLess(cpu, REFUSED_IN_CPU_S)

    def zip_with(self, name, data_pkl, storage=b"x" * 16, **packing):
        """data.pkl and data/0, each (bytes) or (stored bytes, size, method, CRC)."""
        archive = Zip(self.path(name))
        for record, content in (("a/data.pkl", data_pkl), ("a/data/0", storage)):
            archive.add(record, *(content if isinstance(content, tuple) else (content,)))
        return archive.close(**packing)

    def test_a_pickle_that_inflates_to_2_gib(self):
        bomb = deflated_zeros(2 * GIB)
        self.refused(self.zip_with("says-so", (bomb, 2 * GIB, 8, 1)), "pickle_bytes_max")
        self.refused(self.zip_with("says-100-bytes", (bomb, 100, 8, 1)), "record \"data.pkl\"")

    def test_a_pickle_that_inflates_to_just_below_the_limit(self):
        bomb = deflated_zeros(255 * MIB)
        self.refused(self.zip_with("255-mib", (bomb, 255 * MIB, 8, 0)), "opcode is 0")

    def test_a_storage_that_inflates_to_2_gib(self):
        good, bomb = containers.pth_pickle(GOOD), deflated_zeros(2 * GIB)
        self.refused(self.zip_with("not-what-the-pickle-says", good, (bomb, 2 * GIB, 8, 1)),
                     "record data/0 is 2147483648 bytes long, want 16 as the pickle says")
        self.refused(self.zip_with("not-what-the-directory-says", good, (bomb, 16, 8, 1)),
                     "yields more than the 16 bytes that are stated")

    def test_ten_million_nested_values(self):
        count = 10_000_000
        shapes = {"tuples": b")" + b"\x85" * count, "ids": b"N" + b"Q" * count,
                  "marks": b"(" * count + b"t" * count}
        for name, object_ in shapes.items():
            says = "MARKs are open" if name == "marks" else "nested more than 1000 levels deep"
            pickle = b"\x80\x02" + object_ + b"."
            self.refused(self.zip_with(name, pickle), says)
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            packed = packer.compress(pickle) + packer.flush()
            self.refused(self.zip_with(name + "-packed", (packed, len(pickle), 8, 0)), says)

    def test_a_million_nested_lists(self):
        lists = b"\x80\x02" + b"]" * 1_000_000 + b"a" * 999_999 + b"."
        self.refused(self.zip_with("lists", lists), "nested more than 1000 levels deep")

    def test_a_zip_that_claims_ten_million_records(self):
        claims = self.zip_with("claims", containers.pth_pickle(GOOD), entries=10_000_000)
        self.refused(claims, "10000000 records, want at most 2097152 (zip_records_max)")
        path = self.path("has-them")
        size = 46 * 10_000_000
        with open(path, "wb") as f:
            f.write(b"PK\3\4")
            f.seek(size, os.SEEK_CUR)
            f.write(b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 20, 45, 0, 0, 10_000_000,
                                            10_000_000, size, 4)
                    + b"PK\6\7" + struct.pack("<IQI", 0, size + 4, 1)
                    + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, size, 4, 0))
        self.refused(path, "zip_records_max")

    def test_counts_of_2_to_the_63(self):
        huge = b"\x80" * 9 + b"\1"
        most = leb128((1 << 63) - 1)
        for name, data, says in [
                ("count", huge, "above 2^63-1"), ("most", most, "entries_max"),
                ("key", b"\1" + huge, "length of"), ("dtype", b"\1\1w" + huge, "dtype"),
                ("ndim", b"\1\1w\6" + huge, "above 2^63-1"),
                ("most-dims", b"\1\1w\6" + most, "dims_max"),
                ("dim", b"\1\1w\6\1" + huge, "above 2^63-1"),
                ("most-bytes", b"\1\1w\6\1" + most, "tensor_bytes_max"),
                ("most-present", b"\1\1w\0\1" + leb128(1 << 40), "input ends inside")]:
            self.refused(self.write(name, data), says)

    def test_claims_of_other_formats(self):
        old = struct.pack("<Q", 1 << 62)
        nested = b'{"a":' + b"[" * 5_000_000
        string = b"\x80\x02X\xff\xff\xff\xff."
        for name, path, says in [
                ("header", self.write("header", struct.pack("<Q", 99_999_999) + b'{"'),
                 "header"),
                ("nested", self.write("nested", struct.pack("<Q", len(nested)) + nested),
                 "safetensors header"),
                ("string", self.zip_with("string", string), "before its STOP"),
                ("legacy", self.write("legacy", bytes.fromhex(
                    "80028a0a6cfc9c46f9206aa850192e80024de9032e80027d2e80027d2e80025d2e") + old),
                 "8 bytes follow the last storage")]:
            with self.subTest(name):
                self.refused(path, says)


class MillionTest(BoundedTest):
    """1 048 576 tensors, each with a storage of its own."""

    # rows A59, C99, D68
    def accepted(self, path):
        code, out, err, peak, cpu = self.bounded(ACCEPTED_IN_CPU_S, "inspect", path, "--json")
        print(f"  {os.path.basename(path)}: {peak / MIB:.0f} MiB, {cpu:.1f} s")
        self.assertEqual(code, harness.OK, err)
        self.assertEqual(out.count(b'"key":'), MILLION)

    def test_dat(self):
        entry = b"\x07%07d\x00\x00\x01"
        self.accepted(self.write("million.dat", leb128(MILLION) + b"".join(
            [entry % i for i in range(MILLION)])))

    def test_safetensors(self):
        header = ",".join([f'"{i:07d}":{{"dtype":"U8","shape":[],"data_offsets":[{i},{i + 1}]}}'
                           for i in range(MILLION)])
        raw = ("{" + header + "}").encode()
        self.assertLess(len(raw), 100_000_000)
        self.accepted(self.write("million.safetensors",
                                 struct.pack("<Q", len(raw)) + raw + b"\1" * MILLION))

    def test_pth(self):
        head = b"ctorch._utils\n_rebuild_tensor_v2\nq\0ctorch\nByteStorage\nq\1" \
               b"X\x07\0\0\0storageq\2X\x03\0\0\0cpuq\3ccollections\nOrderedDict\nq\4" + b"0" * 5
        archive = Zip(self.path("million.pth"))
        parts = [b"\x80\x02", head, b"}("]
        for i in range(MILLION):
            key = b"X\x07\0\0\0%07d" % i
            parts.append(key + b"h\0(h\2h\1" + key + b"h\3K\1tQK\0))\x89h\4)RtR")
        archive.add("a/data.pkl", b"".join(parts) + b"u.")
        for i in range(MILLION):
            archive.add(f"a/data/{i:07d}", b"\1")
        self.accepted(archive.close())


if __name__ == "__main__":
    harness.main()
