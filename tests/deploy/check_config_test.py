"""`ballastd --check-config`: names every problem, changes nothing."""
import os
import subprocess

import harness
import transport_test


def check(*args):
    return subprocess.run([harness.ballastd(), "--check-config", *args], capture_output=True,
                          timeout=harness.START_LIMIT_S, env=harness.clean_env(), text=True)


def snapshot(folder):
    """Everything below a folder: names, sizes and times of change."""
    found = {}
    for base, folders, names in os.walk(folder):
        for name in folders + names:
            path = os.path.join(base, name)
            info = os.lstat(path)
            found[path] = (info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_mode)
    return found


class CheckConfigTest(harness.TestCase):
    WITH_SERVER = False

    def good(self, *args):
        before = snapshot(self.folder)
        done = check(*args)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "config ok\n", ""))
        self.assertEqual(snapshot(self.folder), before, "the check left something behind")

    def bad(self, *args, says):
        """`says`: what each problem's line must hold, in order."""
        before = snapshot(self.folder)
        done = check(*args)
        self.assertEqual(done.returncode, harness.USAGE, done.stdout)
        self.assertEqual(done.stdout, "")
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), len(says), done.stderr)
        for line, part in zip(lines, says):
            self.assertTrue(line.startswith("ballastd: "), line)
            self.assertIn(part, line)
        self.assertEqual(snapshot(self.folder), before, "the check left something behind")

    def config(self, text):
        return harness.write(self.path("ballastd.ini"), text.encode())

    def test_a_good_configuration(self):
        self.good("--data-dir", self.path("new/folder"))
        self.good("--config", self.config(
            f"data-dir = {self.path('new')}\nlisten = 127.0.0.1:0\nlisten = unix:{self.path('s')}\n"
            "metrics-listen = 127.0.0.1:0\nlog-level = warn\nlog-format = json\n"
            "[limits]\nstreams_max = 8\n"))

    def test_a_folder_in_use_is_good_and_left_alone(self):
        server = self.start_server()
        server.stop()
        self.good("--data-dir", self.path("data"))
        server.start()
        self.assertEqual(check("--data-dir", self.path("data")).returncode, 0)
        self.ok("ls", server=server.address)

    def test_what_cannot_be_parsed_is_one_line(self):
        self.bad(says=["--data-dir is required"])
        self.bad("--data-dir", self.path("d"), "--log-format", "xml", says=["--log-format"])
        self.bad("--config", self.path("absent"), says=["absent"])
        self.bad("--config", self.config("data-dir = /d\n[limits]\nno_such = 1\n"), says=["no_such"])

    def test_every_problem_is_named_at_once(self):
        self.bad("--config", self.config(
            f"data-dir = {self.path('ballastd.ini')}\n"
            "listen = nonsense\nlisten = 0.0.0.0:1\nlisten = 127.0.0.1:70000\n"
            f"listen = unix:{self.path('absent/s')}\nlisten = unix:/{'x' * 200}\n"
            "listen = 127.0.0.1:5\nlisten = 127.0.0.1:5\n"
            "metrics-listen = 0.0.0.0:9\ntls-key = k\n"
            "[limits]\nstreams_max = 0\nblock_file_bytes = 1\nstream_idle_ms = 99999999999999\n"),
            says=["--tls-cert and --tls-key go together", '--listen is "nonsense"',
                  "0.0.0.0:1 is reachable", '"127.0.0.1:70000"', "0.0.0.0:9 is reachable",
                  "limits.streams_max is 0, want at least 1",
                  "limits.stream_idle_ms is 99999999999999, want at most",
                  "limits.block_file_bytes is 1, want at least 1048576",
                  "absent: No such file or directory", "path is 201 bytes, want at most 107",
                  "127.0.0.1:5 is given twice", "--data-dir"])

    def test_tls_files_are_looked_into(self):
        authority = transport_test.Authority(self.folder)
        cert, key = authority.issue("server")
        other_key = authority.issue("other")[1]
        encrypted, expired = self.path("enc.key"), self.path("expired.pem")
        transport_test.openssl("rsa", "-in", key, "-aes128", "-passout", "pass:secret", "-out",
                               encrypted)
        transport_test.openssl("x509", "-req", "-in", self.path("server.csr"), "-CA",
                               authority.cert, "-CAkey", authority.key, "-CAcreateserial",
                               "-days", "-1", "-out", expired)
        text = harness.write(self.path("text"), b"hello\n")
        base = ("--data-dir", self.path("d"), "--listen", "0.0.0.0:1")

        def tls(cert, key, *more):
            return (*base, "--tls-cert", cert, "--tls-key", key, *more)

        self.good(*tls(cert, key, "--tls-client-ca", authority.cert))
        for args, says in [
                (tls(cert, other_key), ["is not the key of the certificate"]),
                (tls(cert, encrypted), ["the key is encrypted"]),
                (tls(expired, key), ["the certificate has expired"]),
                (tls(text, text), ["holds no certificate", "holds no private key"]),
                (tls(self.path("no.pem"), key), ["no.pem"]),
                (tls(cert, key, "--tls-client-ca", key), ["--tls-client-ca"])]:
            self.bad(*args, says=says)

    def test_data_folders_are_looked_at(self):
        foreign = self.path("foreign")
        os.mkdir(foreign)
        harness.write(os.path.join(foreign, "thesis.tex"), b"x")
        self.bad("--data-dir", foreign, says=["holds other files and no FORMAT"])
        newer = self.path("newer")
        os.mkdir(newer)
        harness.write(os.path.join(newer, "FORMAT"), b"99\n")
        self.bad("--data-dir", newer, says=["format is 99"])
        harness.write(os.path.join(newer, "FORMAT"), b"1\n")
        self.bad("--data-dir", newer, says=["db/CURRENT is missing"])
        inside_a_file = os.path.join(newer, "FORMAT", "data")
        self.bad("--data-dir", inside_a_file, says=["FORMAT is not a folder"])

    def test_a_folder_without_the_right_to_write(self):
        if os.geteuid() == 0:
            self.skipTest("root may write anywhere")
        folder = self.path("readonly")
        os.mkdir(folder, 0o500)
        self.bad("--data-dir", os.path.join(folder, "d"), says=["Permission denied"])


class LogFormatTest(harness.TestCase):
    WITH_SERVER = False

    def test_json_lines_only(self):
        import json
        server = self.start_server(args=("--log-format", "json", "--log-level", "debug"))
        self.fails(harness.NOT_FOUND, "show", "log/absent", server=server.address)
        self.assertEqual(server.stop(), 0)
        lines = [json.loads(line) for line in server.log().splitlines()]
        self.assertEqual([line["event"] for line in lines],
                         ["started", "begin", "call", "stopping", "stopped"])
        call = lines[2]
        self.assertEqual((call["method"], call["subject"], call["code"], call["level"]),
                         ("GetVersion", "log/absent", "NOT_FOUND", "info"))

    def test_a_start_that_fails_is_json_too(self):
        import json
        first = self.start_server()
        second = harness.Server(self.path("other"), listen=(first.address,),
                                args=("--log-format", "json"))
        self.addCleanup(second.stop)
        with self.assertRaises(RuntimeError):
            second.start()
        events = [json.loads(line)["event"] for line in second.log().splitlines()]
        self.assertEqual(events[-1], "failed")

    def test_levels(self):
        for level, wants in [("debug", ["started", "begin", "call"]), ("info", ["started", "call"]),
                             ("warn", []), ("off", [])]:
            server = self.start_server(level, args=("--log-level", level))
            self.ok("ls", server=server.address)
            events = [line.split()[2] for line in server.log().splitlines()]
            self.assertEqual(events, wants, level)
            server.stop()


if __name__ == "__main__":
    harness.main()
