"""Every refusal: the right exit code, one line on stderr, nothing on stdout, nothing left behind."""
import io
import json
import os
import signal
import struct
import subprocess
import time
import zipfile

import containers
import harness
from containers import leb128

GOOD = [("a.weight", "float32", (2, 2), b"\1\2\3\4" * 4), ("b", "int64", (), b"\7" + b"\0" * 7)]


def pickle_calling(module, name):
    """A data.pkl that would call module.name if it were unpickled."""
    return b"\x80\x02}(X\x01\0\0\0ac" + f"{module}\n{name}\n".encode() + b"(X\x02\0\0\0idtRu."


def flip(data, needle, by=1):
    """Flips bits in the first byte of the first occurrence of needle."""
    at = data.index(needle)
    return data[:at] + bytes([data[at] ^ by]) + data[at + 1:]


def entry(key=b"a", dtype=6, dims=(1,), data=b"\0" * 4, key_length=None):
    length = leb128(len(key)) if key_length is None else key_length
    return length + key + leb128(dtype) + leb128(len(dims)) + b"".join(map(leb128, dims)) + data


def bad_dats():
    good = containers.dat(GOOD)
    huge = 1 << 62
    rows = {f"cut at {n}": (good[:n], "") for n in range(len(good))}
    rows.update({
        "a byte behind the end": (good + b"\0", ""),
        "twice": (good + good, ""),
        "duplicate key": (b"\2" + entry() + entry(), "a"),
        "claims 2^63-1 entries": (leb128((1 << 63) - 1), ""),
        "overlong count": (b"\x80" * 10 + b"\0" + entry(), ""),
        "negative key length": (b"\1" + entry(key_length=b"\x80\x80\x80\x80\x08"), ""),
        "overlong key length": (b"\1" + entry(key_length=b"\x81\x80\x80\x80\x80\x00"), ""),
        "huge key": (b"\1" + leb128((1 << 31) - 1) + b"k", ""),
        "key is no UTF-8": (b"\1" + entry(key=b"\xff\xfe"), "\\xff"),
        "control character in a key": (b"\1" + entry(key=b"a\nb"), "\\x0a"),
        "unknown dtype": (b"\1" + entry(dtype=99), "99"),
        "too many dims": (b"\1" + entry(dims=(1,) * 65), "65"),
        "huge tensor": (b"\1" + entry(dims=(huge,)), ""),
        "overflowing shape": (b"\1" + entry(dims=(1 << 32, 1 << 32)), ""),
        "zeros only": (bytes(512), ""),
        "bool that is neither": (b"\1" + entry(dtype=11, dims=(1,), data=b"\2"), ""),
    })
    return rows


def bad_safetensors():
    good = containers.safetensors(GOOD)
    make = containers.safetensors_from
    one = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    rows = {f"cut at {n}": (good[:n], "") for n in range(1, len(good), 3)}
    rows.update({
        "a byte behind the end": (good + b"\0", ""),
        "header of 2^63 bytes": (struct.pack("<Q", 1 << 63) + b"{}", ""),
        "header is not JSON": (make(b"{nope", b""), ""),
        "duplicate name": (make(b'{"a":' + json.dumps(one).encode() + b',"a":'
                                + json.dumps(one).encode() + b"}", b"\0" * 4), "a"),
        "overlap": (make({"a": one, "b": one}, b"\0" * 4), ""),
        "hole": (make({"a": one, "b": {**one, "data_offsets": [8, 12]}}, b"\0" * 12), ""),
        "size differs from shape": (make({"a": {**one, "shape": [2]}}, b"\0" * 4), "a"),
        "unknown dtype": (make({"a": {**one, "dtype": "F33"}}, b"\0" * 4), "F33"),
        "negative dim": (make({"a": {**one, "shape": [-1]}}, b"\0" * 4), ""),
        "overflowing shape": (make({"a": {**one, "shape": [1 << 40, 1 << 40]}}, b"\0" * 4), ""),
        "deep nesting": (make(b'{"a":' + b"[" * 100_000, b""), ""),
        "metadata that is no text": (make({"__metadata__": {"a": 1}}, b""), ""),
    })
    return rows


def bad_pths():
    good = containers.pth(GOOD)
    raw_pickle = containers.pth_pickle(GOOD)
    records = [raw for _, _, _, raw in GOOD]
    rows = {f"cut at {n}": (good[:n], "") for n in range(4, len(good), 37)}
    for module, name in [("os", "system"), ("posix", "system"), ("builtins", "eval"),
                         ("subprocess", "Popen"), ("nt", "system"), ("builtins", "getattr"),
                         ("torch", "hub.load"), ("foreign.module", "function")]:
        rows[f"calls {module}.{name}"] = (
            containers.pth_from(pickle_calling(module, name), records), module)
    rows.update({
        "wrong CRC": (flip(good, b"\1\2\3\4\1\2\3\4"), "crc"),
        "record is missing": (containers.pth_from(raw_pickle, records[:1]), ""),
        "record is too short": (containers.pth_from(raw_pickle, [records[0][:-1], records[1]]), ""),
        "no data.pkl": (repack_without_pickle(good), "data.pkl"),
        "pickle never ends": (containers.pth_from(raw_pickle[:-1], records), ""),
        "claims a huge storage": (containers.pth_from(raw_pickle.replace(
            b"K\x04tQ", b"J\xff\xff\xff\x7ftQ", 1), records), ""),
        "encrypted": (flip_flags(good), "encrypt"),
        "an empty zip": (b"PK\5\6" + bytes(18), ""),
        "deep nesting": (containers.pth_from(
            b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".", []), ""),
    })
    return rows


def repack_without_pickle(data):
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            if not name.endswith("data.pkl"):
                new.writestr(name, old.read(name))
    return out.getvalue()


def flip_flags(data):
    """Sets general-purpose bit 0 in every local and central header."""
    out = bytearray(data)
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(signature)
        while at >= 0:
            out[at + offset] |= 1
            at = data.find(signature, at + 4)
    return bytes(out)


OTHERS = {
    "nothing": (b"", ""),
    "text": (b"hello, this is no model\n" * 30, ""),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:"
                          + b"0" * 64 + b"\nsize 12345\n", "lfs"),
    "gzip": (b"\x1f\x8b\x08" + bytes(600), "gzip"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(600), "hdf5"),
    "GGUF": (b"GGUF\3\0\0\0" + bytes(600), "gguf"),
    "HTML": (b"<!DOCTYPE html><html>" + b" " * 600, "html"),
}


class BadFileTest(harness.TestCase):
    def refuse_all(self, rows, *args):
        for name, (data, says) in rows.items():
            with self.subTest(name):
                path = harness.write(self.path("bad"), data)
                self.fails(harness.FAILURE, "push", path, "bad/file", *args, says=says)
                self.fails(harness.FAILURE, "push", path, "bad/file", "--raw", *args, says=says)
                if not args:
                    self.fails(harness.FAILURE, "inspect", path, "--json", "--digests", says=says)
        self.fails(harness.NOT_FOUND, "versions", "bad/file")

    def test_bad_dat_files_are_refused(self):
        self.refuse_all(bad_dats(), "--format", "torchsharp")

    def test_bad_safetensors_files_are_refused(self):
        self.refuse_all(bad_safetensors())

    def test_bad_pth_files_are_refused(self):
        self.refuse_all(bad_pths())

    def test_files_that_are_something_else_are_refused_by_name(self):
        self.refuse_all(OTHERS)

    def test_a_declared_format_that_is_another_is_named(self):
        path = harness.write(self.path("x.dat"), containers.safetensors(GOOD))
        self.fails(harness.FAILURE, "push", path, "bad/wrong", "--format", "pytorch",
                   says="safetensors")

    def test_an_extension_means_nothing(self):
        path = harness.write(self.path("x.pth"), containers.safetensors(GOOD))
        self.assertEqual(self.json("inspect", path)["format"], "safetensors")

    def test_bad_files_do_not_convert_and_leave_no_output(self):
        path, out = self.path("bad"), self.path("out.dat")
        for data, _ in (bad_safetensors()["overlap"], bad_pths()["wrong CRC"], OTHERS["text"]):
            harness.write(path, data)
            for mode in ([], ["--local"]):
                self.fails(harness.FAILURE, "convert", path, out, "--to", "torchsharp", *mode)
        self.assertEqual(os.listdir(self.folder), ["bad"])


class BadCommandTest(harness.TestCase):
    def good(self):
        return harness.write(self.path("good.pth"), containers.pth(GOOD))

    def test_usage_errors_are_exit_code_2(self):
        good = self.good()
        rows = [
            [], ["nonsense"], ["push"], ["push", good], ["push", good, "m", "extra"],
            ["push", good, "m", "--nonsense"], ["pull"], ["push", good, "Bad/Name"],
            ["push", good, "m:1"], ["pull", "m:0"], ["pull", "m:x"], ["pull", "host:7420/m"],
            ["pull", "m@sha256:abc"], ["pull", "a//b"], ["pull", "m", "--format", "nope"],
            ["push", good, "m", "--format", "nope"], ["convert", good, self.path("o")],
            ["convert", good, self.path("o"), "--to", "nope"], ["push", good, "m", "--label", "x"],
            ["push", good, "m", "--rename", "("], ["push", good, "m", "--rename", "(=x"],
            ["alias", "set", "m", "latest", "m:1"], ["alias", "set", "m", "sha256", "m:1"],
            ["--server", "", "ls"],
        ]
        for args in rows:
            with self.subTest(args=args):
                done = self.cli(*args)
                self.assertEqual(done.returncode, harness.USAGE, done.stderr.decode())
                self.assertEqual(done.stdout, b"")
                self.assertTrue(done.stderr.startswith(b"ballast: "), done.stderr)

    def test_upper_case_names_are_refused_with_the_right_spelling(self):
        self.fails(harness.USAGE, "push", self.good(), "Team/ResNet", says="team/resnet")

    def test_a_missing_file_is_exit_code_3(self):
        self.fails(harness.NOT_FOUND, "push", self.path("absent.pth"), "bad/absent",
                   says="absent.pth")

    def test_an_unreachable_server_is_exit_code_7(self):
        self.fails(harness.UNAVAILABLE, "ls", server="127.0.0.1:1", limit_s=60)
        self.fails(harness.UNAVAILABLE, "push", self.good(), "bad/x",
                   server="unix:" + self.path("none.sock"), limit_s=60)

    def test_an_existing_file_is_not_overwritten_without_force(self):
        self.push(self.good(), "bad/force")
        out = harness.write(self.path("out.pth"), b"mine")
        self.fails(harness.FAILURE, "pull", "bad/force", "-o", out, says="--force")
        self.fails(harness.FAILURE, "convert", self.good(), out, "--to", "torchsharp", "--local",
                   says="--force")
        self.assertEqual(harness.read(out), b"mine")
        self.ok("pull", "bad/force", "-o", out, "--force")
        self.assertNotEqual(harness.read(out), b"mine")

    def test_a_pull_into_a_folder_that_is_not_there_is_refused(self):
        self.push(self.good(), "bad/folder")
        self.fails(harness.NOT_FOUND, "pull", "bad/folder", "-o", self.path("no/such/x.pth"))

    def test_control_characters_in_keys_do_not_reach_the_terminal(self):
        path = harness.write(self.path("esc.dat"), b"\1" + entry(key=b"\x1b]0;owned\x07"))
        text = self.fails(harness.FAILURE, "push", path, "bad/esc", "--format", "torchsharp")
        self.assertNotIn("\x1b", text)


class InterruptedTest(harness.TestCase):
    WITH_SERVER = False

    def test_a_client_killed_in_the_middle_leaves_nothing_and_the_server_idle(self):
        server = self.start_server()
        random = harness.rng("killed")
        whole = containers.safetensors([("w", "uint8", (32 << 20,), random.randbytes(32 << 20))])
        for cut in (7, 1000, 5 << 20, len(whole) - 1):
            process = subprocess.Popen(
                [harness.ballast(), "--server", server.address, "push", "-", "bad/killed"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=harness.clean_env())
            process.stdin.write(whole[:cut])
            process.stdin.flush()
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=harness.CLI_LIMIT_S)
        self.fails(harness.NOT_FOUND, "versions", "bad/killed", server=server.address)
        self.assert_idle(server)
        path = harness.write(self.path("whole"), whole)
        self.assertEqual(self.push(path, "bad/killed", server=server.address)["version"], 1)
        self.assertEqual(server.stop(), 0)

    def assert_idle(self, server):
        """Uses no processor time over a short while, and has no unfinished files."""
        def ticks():
            with open(f"/proc/{server.pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])

        def idle():
            before = ticks()
            time.sleep(0.5)
            return ticks() - before <= 5
        harness.wait_until(idle, 30 * harness.SLOWER, "the server is idle again")

    def stopped_pull(self, number):
        """Sends a signal to a pull that has begun to write its file; returns its exit code and folder."""
        server = self.start_server()
        data = harness.rng("pull").randbytes(64 << 20)
        path = harness.write(self.path("in.safetensors"),
                             containers.safetensors([("w", "uint8", (64 << 20,), data)]))
        self.push(path, "bad/pull", server=server.address)
        folder = self.path("target")
        os.mkdir(folder)
        process = subprocess.Popen(
            [harness.ballast(), "--server", server.address, "pull", "bad/pull", "-o",
             os.path.join(folder, "out.dat"), "--format", "torchsharp"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=harness.clean_env())

        def writes():
            """Whether it has a file open in the folder, named or not."""
            try:
                fds = f"/proc/{process.pid}/fd"
                return any(os.readlink(os.path.join(fds, fd)).startswith(folder)
                           for fd in os.listdir(fds))
            except FileNotFoundError:
                return False
        harness.wait_until(lambda: writes() or process.poll() is not None, 30, "a file")
        process.send_signal(number)
        _, error = process.communicate(timeout=harness.CLI_LIMIT_S)
        return process.returncode, os.listdir(folder), error

    def test_an_interrupted_pull_leaves_no_file(self):
        code, left, error = self.stopped_pull(signal.SIGINT)
        if code == 0:
            self.assertEqual(left, ["out.dat"])
        else:
            self.assertEqual(code, harness.UNAVAILABLE, error)
            self.assertEqual(left, [])

    def test_a_killed_pull_leaves_no_file(self):
        try:
            os.close(os.open(self.folder, os.O_TMPFILE | os.O_RDWR))
        except OSError as error:
            self.skipTest(f"no unnamed files here: {error}")
        code, left, _ = self.stopped_pull(signal.SIGKILL)
        self.assertEqual(left, ["out.dat"] if code == 0 else [])


class FolderTest(harness.TestCase):
    WITH_SERVER = False

    def refused(self, *args, says):
        """Starts a server that must not start; returns what it said."""
        done = subprocess.run([os.path.join(harness.BIN_DIR, "ballastd"), *args],
                              stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=harness.START_LIMIT_S, env=harness.clean_env())
        text = done.stderr.decode(errors="replace")
        self.assertNotEqual(done.returncode, 0)
        self.assertGreater(done.returncode, 0, text)
        self.assertEqual(done.stdout, b"")
        for part in [says] if isinstance(says, str) else says:
            self.assertIn(part.lower(), text.lower())

    def test_a_newer_folder_is_refused(self):
        server = self.start_server()
        server.stop()
        mark = os.path.join(server.data_dir, "FORMAT")
        number = int(harness.read(mark))
        harness.write(mark, f"{number + 1}\n".encode())
        self.refused("--data-dir", server.data_dir, "--listen", "127.0.0.1:0",
                     says=("format", str(number + 1)))
        harness.write(mark, f"{number}\n".encode())
        self.assertEqual(server.start().stop(), 0)

    def test_a_folder_in_use_is_refused(self):
        server = self.start_server()
        self.refused("--data-dir", server.data_dir, "--listen", "127.0.0.1:0", says="in use")
        self.ok("ls", server=server.address)

    def test_a_folder_with_other_files_is_refused(self):
        os.mkdir(self.path("other"))
        harness.write(self.path("other/thesis.tex"), b"x")
        self.refused("--data-dir", self.path("other"), "--listen", "127.0.0.1:0", says="other")
        self.assertEqual(os.listdir(self.path("other")), ["thesis.tex"])

    def test_a_public_listener_without_tls_is_refused(self):
        for address in ("0.0.0.0:0", "[::]:0"):
            self.refused("--data-dir", self.path("d"), "--listen", address, says="tls")
        server = self.start_server(listen=("0.0.0.0:0",), args=("--insecure",))
        self.ok("ls", server="127.0.0.1:" + server.address.rsplit(":", 1)[1])

    def test_bad_flags_are_refused(self):
        self.refused("--listen", "127.0.0.1:0", says="data-dir")
        self.refused("--data-dir", self.path("d"), "--nonsense", says="nonsense")
        self.refused("--data-dir", self.path("d"), "--listen", "nowhere", says="nowhere")
        self.refused("--data-dir", self.path("d"), "--config", self.path("absent"), says="absent")


class FullDiskTest(harness.TestCase):
    WITH_SERVER = False

    def mount(self, megabytes):
        folder = self.path("disk")
        os.mkdir(folder)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder],
                              capture_output=True)
        if done.returncode != 0:
            self.skipTest("may not mount a tmpfs: " + done.stderr.decode().strip())
        self.addCleanup(subprocess.run, ["umount", "-l", folder])
        return folder

    def model(self, name, megabytes):
        data = harness.rng(name).randbytes(megabytes << 20)
        return harness.write(self.path(name), containers.dat([("w", "uint8", (len(data),), data)]))

    def test_a_full_server_disk_refuses_and_keeps_what_was_there(self):
        disk = self.mount(96)
        server = harness.Server(os.path.join(disk, "data"), log=self.path("log"))
        self.addCleanup(server.stop)
        server.start()
        small = self.model("small", 8)
        self.push(small, "disk/m", server=server.address)
        large = self.model("large", 200)
        for raw in ([], ["--raw"]):
            self.fails(harness.FAILURE, "push", large, "disk/m", *raw, server=server.address,
                       says="full")
        out = self.path("out.dat")
        self.ok("pull", "disk/m", "-o", out, server=server.address)
        self.assertEqual(harness.sha256_file(out), harness.sha256_file(small))
        self.fails(harness.NOT_FOUND, "pull", "disk/m:2", "-o", self.path("x"),
                   server=server.address)
        server.stop()
        server.start()
        self.push(self.model("next", 8), "disk/m", server=server.address)

    def test_a_full_server_disk_recovers_when_space_returns(self):
        disk = self.mount(96)
        server = harness.Server(os.path.join(disk, "data"), log=self.path("log"))
        self.addCleanup(server.stop)
        at = {"server": server.start().address}
        small = self.model("small", 8)
        self.push(small, "disk/m", **at)
        filler = os.path.join(disk, "filler")
        with open(filler, "wb", buffering=0) as f, self.assertRaises(OSError):
            while f.write(bytes(1 << 16)):
                pass
        large = self.model("large", 40)
        self.fails(harness.FAILURE, "push", large, "disk/m", says="full", **at)
        self.pull("disk/m", "out", **at)
        os.unlink(filler)
        self.push(large, "disk/m", **at)
        self.json("gc", limit_s=30, **at)
        for version, path in (1, small), (2, large):
            out = self.pull(f"disk/m:{version}", "out", "--force", "--verify=sha256", **at)
            self.assertEqual(harness.sha256_file(out), harness.sha256_file(path))

    def test_a_server_disk_that_is_read_only_is_named(self):
        disk = self.mount(64)
        server = harness.Server(os.path.join(disk, "data"), log=self.path("log"))
        self.addCleanup(server.stop)
        small = self.model("small", 8)
        self.push(small, "disk/m", server=server.start().address)
        server.stop()
        remount = ["mount", "-o", "remount,ro", disk]
        if subprocess.run(remount, capture_output=True).returncode != 0:
            self.skipTest("may not remount")
        done = subprocess.run(server.argv, capture_output=True, timeout=harness.START_LIMIT_S,
                              env=harness.clean_env())
        self.assertEqual(done.returncode, harness.FAILURE)
        self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)
        self.assertIn(b"Read-only file system", done.stderr)
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        out = self.pull("disk/m", "out", server=server.start().address)
        self.assertEqual(harness.sha256_file(out), harness.sha256_file(small))

    def test_a_full_client_disk_leaves_no_file(self):
        server = self.start_server()
        disk = self.mount(8)
        self.push(self.model("large", 16), "disk/pull", server=server.address)
        self.fails(harness.FAILURE, "pull", "disk/pull", "-o", os.path.join(disk, "out"),
                   server=server.address, says="space")
        self.assertEqual(os.listdir(disk), [])


if __name__ == "__main__":
    harness.main()
