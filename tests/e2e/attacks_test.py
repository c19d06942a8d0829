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

GOOD = [("w", "float32", (4,), b"x" * 16)]


def limit_to(cpu_s):
    """For the child, between fork and exec. Sanitizers reserve terabytes and are slow."""
    def apply():
        seconds = cpu_s * harness.SLOWER
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        if not harness.SANITIZED:
            resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    return apply


def deflated(data):
    """(stored bytes, size, method, CRC) of a record."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush(), len(data), 8, zlib.crc32(data)


def zeros(size, says=None, crc=1):
    """A record of `size` zeros, a multiple of 1 MiB, deflated without making them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece * (size // MIB) + packer.flush(), size if says is None else says, 8, crc


class Zip:
    """A zip on disk, record by record."""

    def __init__(self, path):
        self.file = open(path, "wb")
        self.directory = []

    def add(self, name, stored, size=None, method=0, crc=None):
        size = len(stored) if size is None else size
        crc = zlib.crc32(stored) if crc is None else crc
        fields = struct.pack("<HHHHIIIHH", 0, method, 0, 0, crc, len(stored), size, len(name), 0)
        self.directory.append(b"PK\1\2" + struct.pack("<HH", 20, 20) + fields
                              + struct.pack("<HHHII", 0, 0, 0, 0, self.file.tell())
                              + name.encode())
        self.file.write(b"PK\3\4" + struct.pack("<H", 20) + fields + name.encode() + stored)

    def close(self, entries=None, directory_bytes=None):
        offset, directory = self.file.tell(), b"".join(self.directory)
        entries = len(self.directory) if entries is None else entries
        size = len(directory) if directory_bytes is None else directory_bytes
        self.file.write(directory)
        self.file.seek(offset + size)
        self.file.write(b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 20, 45, 0, 0, entries, entries,
                                                size, offset)
                        + b"PK\6\7" + struct.pack("<IQI", 0, offset + size, 1) + b"PK\5\6"
                        + struct.pack("<HHHHIIH", 0, 0, min(entries, 0xFFFF),
                                      min(entries, 0xFFFF), size, offset, 0))
        self.file.close()


def zip_of(path, data_pkl, storage=b"x" * 16, **end):
    """data.pkl and data/0, each bytes, or stored bytes, size, method and CRC."""
    archive = Zip(path)
    for record, content in (("a/data.pkl", data_pkl), ("a/data/0", storage)):
        archive.add(record, *(content if isinstance(content, tuple) else (content,)))
    archive.close(**end)


class BoundedTest(harness.TestCase):
    WITH_SERVER = False

    def made(self, name, make):
        """The path of a file that make(path) wrote, in another process: a child begins with
        the peak of its parent's memory."""
        path = self.path(name)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                make(path)
                code = 0
            finally:
                os._exit(code)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, name)
        return path

    def bounded(self, cpu_s, *args):
        """Runs `ballast` within limits; exit code, path of stdout, stderr, peak bytes, CPU seconds."""
        with open(self.path("stdout"), "wb") as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen([harness.ballast(), *args], stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=err, preexec_fn=limit_to(cpu_s),
                                       env=harness.clean_env())
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            err.seek(0)
            return (process.returncode, out.name, err.read().decode(errors="replace"),
                    usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime)


class AttackTest(BoundedTest):
    def refused(self, name, says, make):
        """By inspect, which reads every byte with --digests, and says why on one line."""
        code, _, err, peak, cpu = self.bounded(REFUSED_IN_CPU_S, "inspect", self.made(name, make),
                                               "--json", "--digests")
        print(f"  {name}: {peak / MIB:.0f} MiB, {cpu:.2f} s: {err.strip()[-100:]!r}")
        self.assertEqual(code, harness.FAILURE, err)
        self.assertEqual(err.count("\n"), 1, err)
        self.assertIn(says, err)
        if not harness.SANITIZED:
            self.assertLess(peak, REFUSED_IN_BYTES)
            self.assertLess(cpu, REFUSED_IN_CPU_S)

    def refused_bytes(self, name, says, data):
        self.refused(name, says, lambda path: harness.write(path, data))

    def test_a_pickle_that_inflates_to_2_gib(self):
        self.refused("says so", "pickle_bytes_max", lambda path: zip_of(path, zeros(2 * GIB)))
        self.refused("says 100 bytes", "data.pkl",
                     lambda path: zip_of(path, zeros(2 * GIB, says=100)))

    def test_a_pickle_that_inflates_to_less_than_the_limit(self):
        self.refused("200 MiB", "opcode is 0",
                     lambda path: zip_of(path, zeros(200 * MIB, crc=0)))

    def test_a_storage_that_inflates_to_2_gib(self):
        good = containers.pth_pickle(GOOD)
        self.refused("not what the pickle says",
                     "record data/0 is 2147483648 bytes long, want 16 as the pickle says",
                     lambda path: zip_of(path, good, zeros(2 * GIB)))
        self.refused("not what the directory says", "yields more than the 16 bytes",
                     lambda path: zip_of(path, good, zeros(2 * GIB, says=16)))

    def test_ten_million_nested_values(self):
        count = 10_000_000
        deep, marks = "nested more than 1000 levels deep", "MARKs are open"
        for name, first, then, says in [("tuples", b")", b"\x85" * count, deep),
                                        ("ids", b"N", b"Q" * count, deep),
                                        ("marks", b"(" * count, b"t" * count, marks)]:
            self.refused(name, says,
                         lambda path: zip_of(path, b"\x80\x02" + first + then + b"."))
            self.refused(name + " deflated", says,
                         lambda path: zip_of(path, deflated(b"\x80\x02" + first + then + b".")))

    def test_a_million_nested_lists(self):
        self.refused("lists", "nested more than 1000 levels deep", lambda path: zip_of(
            path, b"\x80\x02" + b"]" * 1_000_000 + b"a" * 999_999 + b"."))

    def test_a_zip_that_claims_ten_million_records(self):
        good, count = containers.pth_pickle(GOOD), 10_000_000
        says = "10000000 records, want at most 2097152 (zip_records_max)"
        self.refused("claims them", says, lambda path: zip_of(path, good, entries=count))
        self.refused("has room for them", says, lambda path: zip_of(
            path, good, entries=count, directory_bytes=46 * count))

    def test_counts_of_2_to_the_63(self):
        huge = b"\x80" * 9 + b"\1"
        most = leb128((1 << 63) - 1)
        for name, says, data in [
                ("count", "above 2^63-1", huge), ("most", "entries_max", most),
                ("key", "length of", b"\1" + huge), ("dtype", "dtype", b"\1\1w" + huge),
                ("ndim", "above 2^63-1", b"\1\1w\6" + huge),
                ("most dims", "dims_max", b"\1\1w\6" + most),
                ("dim", "above 2^63-1", b"\1\1w\6\1" + huge),
                ("most bytes", "tensor_bytes_max", b"\1\1w\6\1" + most),
                ("most present", "input ends inside", b"\1\1w\0\1" + leb128(1 << 40))]:
            self.refused_bytes(name, says, data)

    def test_claims_of_other_formats(self):
        nested = b'{"a":{"x":' + b"[" * 5_000_000
        legacy = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e80024de9032e80027d2e80027d2e80025d2e")
        self.refused_bytes("header", "only 2 are there", struct.pack("<Q", 99_999_999) + b'{"')
        self.refused_bytes("nesting", "nested", struct.pack("<Q", len(nested)) + nested)
        self.refused_bytes("numel", "8 bytes follow", legacy + struct.pack("<Q", 1 << 62))
        self.refused("string", "before its STOP",
                     lambda path: zip_of(path, b"\x80\x02X\xff\xff\xff\xff."))


class MillionTest(BoundedTest):
    """1 048 576 tensors, each with a storage of its own."""

    # rows A59, C99, D68
    def accepted(self, name, make):
        code, out, err, peak, cpu = self.bounded(ACCEPTED_IN_CPU_S, "inspect",
                                                 self.made(name, make), "--json")
        print(f"  {name}: {peak / MIB:.0f} MiB, {cpu:.1f} s")
        self.assertEqual(code, harness.OK, err)
        keys = 0
        with open(out, "rb") as lines:
            for line in lines:
                keys += line.count(b"KEY")
        self.assertEqual(keys, MILLION)

    def test_dat(self):
        def make(path):
            with open(path, "wb") as f:
                f.write(leb128(MILLION))
                f.writelines(b"\x0aKEY%07d\x00\x00\x01" % i for i in range(MILLION))
        self.accepted("million.dat", make)

    def test_safetensors(self):
        def make(path):
            header = ",".join(f'"KEY{i}":{{"dtype":"U8","shape":[],"data_offsets":[{i},{i + 1}]}}'
                              for i in range(MILLION))
            with open(path, "wb") as f:
                f.write(struct.pack("<Q", len(header) + 2) + b"{" + header.encode() + b"}")
                f.write(b"\1" * MILLION)
        self.accepted("million.safetensors", make)

    def test_pth(self):
        def make(path):
            memo = (b"ctorch._utils\n_rebuild_tensor_v2\nq\0ctorch\nByteStorage\nq\1"
                    b"X\x07\0\0\0storageq\2X\x03\0\0\0cpuq\3ccollections\nOrderedDict\nq\4")
            item = (b"X\x0a\0\0\0KEY%07dh\0((h\2h\1X\x07\0\0\0%07dh\3K\1tQK\0))\x89h\4)RtR")
            archive = Zip(path)
            archive.add("a/data.pkl", b"\x80\x02" + memo + b"0" * 5 + b"}("
                        + b"".join(item % (i, i) for i in range(MILLION)) + b"u.")
            for i in range(MILLION):
                archive.add(f"a/data/{i:07d}", b"\1")
            archive.close()
        self.accepted("million.pth", make)


if __name__ == "__main__":
    harness.main()
