"""Listeners, TLS, signals, the log and the configuration file."""
import os
import re
import signal
import socket
import subprocess
import threading

import containers
import harness

SMALL = [("k", "uint8", (3,), b"abc")]


def openssl(*args):
    done = subprocess.run(["openssl", *args], capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode())


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, folder, name="ca"):
        self.folder = folder
        self.cert, self.key = os.path.join(folder, name + ".pem"), os.path.join(folder, name + ".key")
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-keyout", self.key, "-out", self.cert)

    def issue(self, name):
        """(certificate, key) for localhost, signed by this authority."""
        base = os.path.join(self.folder, name)
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                "-keyout", base + ".key", "-out", base + ".csr")
        with open(base + ".ext", "w") as f:
            f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", base + ".csr", "-CA", self.cert, "-CAkey", self.key,
                "-CAcreateserial", "-days", "2", "-extfile", base + ".ext", "-out", base + ".pem")
        return base + ".pem", base + ".key"


class TlsTest(harness.TestCase):
    WITH_SERVER = False

    def setUp(self):
        super().setUp()
        self.authority = Authority(self.folder)
        self.model = harness.write(self.path("in.dat"), containers.dat(SMALL))

    def tls_server(self, *more):
        cert, key = self.authority.issue("server")
        server = self.start_server(listen=("127.0.0.1:0",),
                                   args=("--tls-cert", cert, "--tls-key", key, *more))
        return server, "localhost:" + server.address.rsplit(":", 1)[1]

    def test_tls_carries_a_push_and_a_pull(self):
        server, address = self.tls_server()
        self.push(self.model, "tls/m", "--ca", self.authority.cert, server=address)
        out = self.pull("tls/m", "out.dat", "--ca", self.authority.cert, server=address)
        self.assertEqual(harness.read(out), harness.read(self.model))

    def test_a_server_that_another_authority_signed_is_not_talked_to(self):
        server, address = self.tls_server()
        other = Authority(self.folder, "other")
        self.fails(harness.FAILURE, "ls", "--ca", other.cert, server=address,
                   says=(address, "handshake failed: certificate verify failed"))
        self.fails(harness.UNAVAILABLE, "ls", server=address, says="it may want TLS")

    def test_a_server_without_tls_is_said_to_be_one(self):
        server = self.start_server()
        address = "localhost:" + server.address.rsplit(":", 1)[1]
        for command in (["ls"], ["push", self.model, "tls/m"], ["push", self.model, "tls/m", "--raw"]):
            self.fails(harness.FAILURE, *command, "--ca", self.authority.cert, server=address,
                       says="want a server that speaks TLS")

    def test_a_file_that_is_no_certificate_is_named(self):
        for flags in (["--ca", self.model],
                      ["--ca", self.authority.cert, "--cert", self.authority.key, "--key",
                       self.authority.key],
                      ["--ca", self.authority.cert, "--cert", self.authority.cert, "--key",
                       self.authority.cert]):
            self.fails(harness.USAGE, "ls", *flags, server="localhost:1", says="want a PEM file")

    def test_mtls_takes_known_clients_only(self):
        server, address = self.tls_server("--tls-client-ca", self.authority.cert)
        cert, key = self.authority.issue("client")
        self.ok("ls", "--ca", self.authority.cert, "--cert", cert, "--key", key, server=address)
        self.fails(harness.UNAVAILABLE, "ls", "--ca", self.authority.cert, server=address,
                   says="it may want a certificate of the client")
        other = Authority(self.folder, "other")
        cert, key = other.issue("stranger")
        self.fails(harness.UNAVAILABLE, "ls", "--ca", self.authority.cert, "--cert", cert, "--key",
                   key, server=address, says="it may not accept the client's certificate")

    def test_a_public_listener_is_allowed_with_tls(self):
        cert, key = self.authority.issue("server")
        server = self.start_server(listen=("0.0.0.0:0",), args=("--tls-cert", cert, "--tls-key", key))
        self.ok("ls", "--ca", self.authority.cert,
                server="localhost:" + server.address.rsplit(":", 1)[1])


class ListenerTest(harness.TestCase):
    WITH_SERVER = False

    def model(self):
        return harness.write(self.path("in.dat"), containers.dat(SMALL))

    def test_port_0_becomes_the_real_port(self):
        server = self.start_server()
        self.assertRegex(server.address, r"^127\.0\.0\.1:[1-9]\d+$")
        host, port = server.address.split(":")
        socket.create_connection((host, int(port)), timeout=10).close()

    def test_two_listeners_serve_the_same_registry(self):
        sock = self.path("b.sock")
        server = self.start_server(listen=("127.0.0.1:0", "unix:" + sock))
        self.assertEqual(server.addresses[1], "unix:" + sock)
        self.push(self.model(), "two/m", server=server.addresses[0])
        out = self.pull("two/m", "out.dat", server=server.addresses[1])
        self.assertEqual(harness.read(out), harness.read(self.model()))

    def test_a_unix_socket_of_a_killed_server_is_taken_over(self):
        sock = self.path("b.sock")
        server = self.start_server(listen=("unix:" + sock,))
        server.kill()
        server.start()
        self.ok("ls", server="unix:" + sock)
        self.assertEqual(server.stop(), 0)

    def test_a_unix_socket_in_use_is_left_to_its_server(self):
        address = "unix:" + self.path("b.sock")
        first = self.start_server(listen=(address,))
        second = harness.Server(self.path("other"), listen=(address,))
        self.addCleanup(second.stop)
        with self.assertRaisesRegex(RuntimeError, "in use by another server"):
            second.start()
        self.push(self.model(), "still/here", server=address)
        self.assertEqual(first.stop(), 0)

    def test_a_port_in_use_is_an_error_that_names_it(self):
        first = self.start_server()
        second = harness.Server(self.path("other"), listen=(first.address,))
        self.addCleanup(second.stop)
        with self.assertRaisesRegex(RuntimeError, re.escape(first.address)):
            second.start()
        # One line of ours, and none of gRPC's before it.
        self.assertEqual(second.log().count("\n"), 1, second.log())
        self.assertTrue(second.log().startswith("ballastd: listening on "), second.log())

    def test_the_server_flag_wins_over_the_environment(self):
        server = self.start_server()
        done = harness.run_cli("--server", server.address, "ls", server="127.0.0.1:1")
        self.assertEqual(done.returncode, 0, done.stderr)


class SignalTest(harness.TestCase):
    WITH_SERVER = False

    def hangups(self, disposition):
        """What programs that are started from now on inherit."""
        before = signal.signal(signal.SIGHUP, disposition)
        self.addCleanup(signal.signal, signal.SIGHUP, before)

    def test_sigterm_sigint_and_sighup_end_an_idle_server_with_0(self):
        self.hangups(signal.SIG_DFL)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            server = self.start_server(f"data{number}")
            self.ok("ls", server=server.address)
            self.assertEqual(server.stop(number), 0, server.log())

    def test_a_server_under_nohup_outlives_a_hangup(self):
        self.hangups(signal.SIG_IGN)
        server = self.start_server()
        server.process.send_signal(signal.SIGHUP)
        self.ok("ls", server=server.address)
        self.assertEqual(server.stop(), 0, server.log())

    def test_a_command_whose_output_nobody_reads_ends_quietly(self):
        server = self.start_server()
        data = harness.rng("head").randbytes(8 << 20)
        path = harness.write(self.path("in"), containers.safetensors(
            [("w", "uint8", (len(data),), data)]))
        self.push(path, "signal/head", server=server.address)
        puller = subprocess.Popen(
            [harness.ballast(), "--server", server.address, "pull", "signal/head", "-o", "-"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=harness.clean_env())
        self.addCleanup(puller.kill)
        self.assertEqual(len(puller.stdout.read(100)), 100)
        puller.stdout.close()
        self.assertEqual(puller.stderr.read(), b"")
        self.assertEqual(puller.wait(timeout=harness.CLI_LIMIT_S), harness.UNAVAILABLE)
        puller.stderr.close()

    def test_sigterm_ends_the_server_with_0_during_a_pull_that_nobody_reads(self):
        server = self.start_server()
        data = harness.rng("sigterm").randbytes(96 << 20)
        path = harness.write(self.path("in"), containers.safetensors(
            [("w", "uint8", (len(data),), data)]))
        self.push(path, "signal/m", server=server.address)
        puller = subprocess.Popen(
            [harness.ballast(), "--server", server.address, "pull", "signal/m", "-o", "-"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=harness.clean_env())
        self.addCleanup(puller.kill)
        self.assertEqual(len(puller.stdout.read(1 << 20)), 1 << 20)  # the stream runs, then stalls
        code = []
        stopper = threading.Thread(target=lambda: code.append(server.stop()))
        stopper.start()
        stopper.join(harness.STOP_LIMIT_S + 10)
        self.assertEqual(code, [0], server.log()[-2000:])
        puller.stdout.read()
        puller.communicate(timeout=harness.CLI_LIMIT_S)
        self.assertIn(puller.returncode, (0, harness.UNAVAILABLE))

    def test_what_was_pushed_is_there_after_a_restart(self):
        server = self.start_server()
        path = harness.write(self.path("in.dat"), containers.dat(SMALL))
        digest = self.push(path, "signal/again", server=server.address)["digest"]
        server.stop()
        server.start()
        self.assertEqual(self.push(path, "signal/again", server=server.address)["version"], 2)
        self.assertIn(digest, self.ok("show", "signal/again:1", server=server.address).decode())


class LogTest(harness.TestCase):
    WITH_SERVER = False

    def test_every_call_has_one_line_and_names_cannot_forge_lines(self):
        server = self.start_server()
        path = harness.write(self.path("in.dat"), containers.dat(SMALL))
        before = len(server.log().splitlines())
        self.push(path, "log/m", server=server.address)
        self.fails(harness.NOT_FOUND, "pull", "log/absent", "-o", self.path("x"),
                   server=server.address)
        server.stop()
        lines = server.log().splitlines()[before:]
        self.assertEqual(len([l for l in lines if "Push" in l]), 1, lines)
        self.assertTrue(any("log/m" in l for l in lines), lines)
        pulls = [l for l in lines if "Pull" in l]
        self.assertEqual(len(pulls), 1, lines)
        self.assertIn("log/absent", pulls[0])

    def test_stdout_has_the_listening_lines_only(self):
        server = self.start_server()
        self.ok("ls", server=server.address)
        server.process.send_signal(signal.SIGTERM)
        rest = server.process.stdout.read()
        self.assertEqual(server.process.wait(timeout=harness.STOP_LIMIT_S), 0)
        self.assertEqual(rest, b"")


class ConfigTest(harness.TestCase):
    WITH_SERVER = False

    def config(self, text):
        return harness.write(self.path("config"), text.encode())

    def test_a_limit_from_the_file_holds(self):
        server = self.start_server(args=("--config", self.config("[limits]\nentries_max = 2\n")))
        entries = [(f"k{i}", "uint8", (1,), b"x") for i in range(3)]
        path = harness.write(self.path("in.dat"), containers.dat(entries))
        for raw in ([], ["--raw"]):
            self.fails(harness.FAILURE, "push", path, "config/m", *raw, server=server.address,
                       says="entries_max")
        path = harness.write(self.path("in.dat"), containers.dat(entries[:2]))
        self.push(path, "config/m", server=server.address)

    def test_an_unknown_or_bad_setting_is_refused_by_name(self):
        for text, says in [("[limits]\nno_such = 1\n", "no_such"),
                           ("[limits]\nentries_max = many\n", "entries_max")]:
            server = harness.Server(self.path("bad"), args=("--config", self.config(text)))
            self.addCleanup(server.stop)
            with self.assertRaisesRegex(RuntimeError, says):
                server.start()


if __name__ == "__main__":
    harness.main()
