"""The systemd unit: systemd's own checks, that the server speaks Type=notify, and that what
it does stays inside the unit's hardening. The unit itself runs only where systemd is process 1,
so the server is watched with strace instead."""
import os
import re
import shutil
import signal
import socket
import subprocess

import containers
import harness

UNIT = os.path.join(harness.ROOT, "deploy", "systemd", "ballastd.service")
INI = os.path.join(harness.ROOT, "deploy", "systemd", "ballastd.ini")
# systemd's exposure level of 0 to 10, times ten: "OK" is below 4.
EXPOSURE_MAX = 15


def settings():
    """The unit's settings: name -> values, in order."""
    found = {}
    with open(UNIT) as f:
        for line in f:
            line = line.strip()
            if "=" in line and not line.startswith("#"):
                name, value = line.split("=", 1)
                found.setdefault(name, []).append(value)
    return found


def needs(program):
    return lambda test: test if shutil.which(program) else harness.unittest.skip(
        f"{program} is missing")(test)


def analyze(*args):
    return subprocess.run(["systemd-analyze", *args], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=harness.CLI_LIMIT_S,
                          env=dict(os.environ, SYSTEMD_COLORS="0", SYSTEMD_PAGER=""))


class UnitTest(harness.TestCase):
    WITH_SERVER = False

    @needs("systemd-analyze")
    def test_systemd_finds_nothing_wrong(self):
        with open(UNIT) as f:
            text = f.read().replace("/usr/bin/ballastd", harness.ballastd())
        unit = harness.write(self.path("ballastd.service"), text.encode())
        done = analyze("verify", "--man=no", unit)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    @needs("systemd-analyze")
    def test_the_exposure_is_low(self):
        done = analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager",
                       UNIT)
        self.assertEqual(done.returncode, 0, done.stdout[-200:] + done.stderr)
        self.assertIn("Overall exposure level", done.stdout)

    def test_its_settings_pass_the_servers_own_check(self):
        for key in ("ExecStartPre", "ExecStart"):
            self.assertEqual(len(settings()[key]), 1)
        command = settings()["ExecStartPre"][0].split()
        self.assertEqual(command[0], "/usr/bin/ballastd")
        command = [harness.ballastd() if a == "/usr/bin/ballastd" else
                   INI if a == "/etc/ballast/ballastd.ini" else
                   self.path("data") if a == "/var/lib/ballast" else a for a in command]
        done = subprocess.run(command, capture_output=True, text=True, env=harness.clean_env(),
                              timeout=harness.START_LIMIT_S)
        self.assertEqual((done.returncode, done.stdout), (0, "config ok\n"), done.stderr)
        self.assertEqual(settings()["ExecStart"][0],
                         settings()["ExecStartPre"][0].replace("--check-config ", ""))

    def test_the_stop_timeout_is_longer_than_the_grace_time(self):
        stop_s = int(re.fullmatch(r"(\d+)s", settings()["TimeoutStopSec"][0]).group(1))
        with open(INI) as f:
            grace_ms = int(re.search(r"grace-ms = (\d+)", f.read()).group(1))
        self.assertGreater(stop_s * 1000, 2 * grace_ms)


class Notified:
    """A socket as systemd's; its name goes into NOTIFY_SOCKET."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name)
        self.socket.settimeout(harness.START_LIMIT_S)
        self.variable = "@" + name[1:] if name[0] == "\0" else name

    def next(self):
        return self.socket.recv(4096).decode()


class NotifyTest(harness.TestCase):
    WITH_SERVER = False

    def notified(self, name):
        notified = Notified(name)
        self.addCleanup(notified.socket.close)
        server = self.start_server(env={"NOTIFY_SOCKET": notified.variable})
        return notified, server

    def test_ready_comes_when_calls_are_served_and_stopping_before_the_end(self):
        notified, server = self.notified(self.path("notify.sock"))
        self.assertEqual(notified.next(), "READY=1")
        self.ok("ls", server=server.address)
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(notified.next(), "STOPPING=1")
        self.assertEqual(server.stop(), 0)

    def test_an_abstract_socket_works_too(self):
        notified, server = self.notified(f"\0ballast-test-{os.getpid()}")
        self.assertEqual(notified.next(), "READY=1")
        self.assertEqual(server.stop(), 0)

    def test_a_manager_that_is_not_there_is_only_logged(self):
        for variable in (self.path("nobody.sock"), "nonsense"):
            server = self.start_server(env={"NOTIFY_SOCKET": variable})
            self.ok("ls", server=server.address)
            self.assertEqual(server.stop(), 0)
            self.assertIn("NOTIFY_SOCKET", server.log())

    def test_a_start_that_fails_is_never_ready(self):
        first = self.start_server("first")
        notified = Notified(self.path("notify.sock"))
        self.addCleanup(notified.socket.close)
        second = harness.Server(self.path("second"), listen=(first.address,),
                                env={"NOTIFY_SOCKET": notified.variable})
        self.addCleanup(second.stop)
        with self.assertRaises(RuntimeError):
            second.start()
        notified.socket.settimeout(0)
        with self.assertRaises(BlockingIOError):
            notified.next()


class Traced(harness.Server):
    """A server under strace, which writes what it asks of the kernel to a file."""

    def __init__(self, trace, *args, **options):
        super().__init__(*args, **options)
        self.argv = ["strace", "-f", "-qq", "-o", trace, "-e", "signal=none", *self.argv]

    def stop(self, signal_number=signal.SIGTERM):
        # strace passes no signal on: the server is its child.
        if self.running():
            with open(f"/proc/{self.pid}/task/{self.pid}/children") as f:
                os.kill(int(f.read().split()[0]), signal_number)
        return super().stop(0)


def allowed_calls():
    """What the unit's SystemCallFilter lets through, sets resolved."""
    def members(name, seen):
        if not name.startswith("@"):
            return {name}
        if name in seen:
            return set()
        seen.add(name)
        listed = analyze("syscall-filter", name).stdout.splitlines()[1:]
        words = [line.strip() for line in listed if line.strip() and "#" not in line]
        return set().union(*(members(word, seen) for word in words)) if words else set()

    allowed = set()
    for value in settings()["SystemCallFilter"]:
        names = value.lstrip("~").split()
        calls = set().union(*(members(name, set()) for name in names))
        allowed = allowed - calls if value.startswith("~") else allowed | calls
    return allowed


@harness.unittest.skipUnless(shutil.which("strace") and shutil.which("systemd-analyze"),
                             "strace or systemd-analyze is missing")
@harness.unittest.skipIf(harness.SANITIZED, "a sanitizer makes system calls of its own")
class SandboxTest(harness.TestCase):
    WITH_SERVER = False

    def trace(self):
        trace = self.path("trace")
        server = Traced(trace, self.path("data"), args=("--metrics-listen", "127.0.0.1:0"))
        self.addCleanup(server.stop)
        try:
            server.start()
        except RuntimeError as error:
            self.skipTest(f"strace does not work here: {error}")
        data = harness.rng("trace").randbytes(5 << 20)
        path = harness.write(self.path("in"), containers.safetensors(
            [("w", "uint8", (len(data),), data)]))
        self.push(path, "m", server=server.address)
        self.push(path, "m", "--raw", server=server.address)
        self.ok("pull", "m", "-o", self.path("out"), server=server.address)
        self.ok("stats", "--exact", server=server.address)
        metrics = server.process.stdout.readline().decode().split()[-1]
        with socket.create_connection(metrics.rsplit(":", 1), timeout=harness.CLI_LIMIT_S) as s:
            s.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            self.assertIn(b"200 OK", s.recv(4096))
        self.assertEqual(server.stop(), 0, server.log())
        with open(trace) as f:
            return f.read()

    def test_what_the_server_does_stays_inside_the_sandbox(self):
        text = self.trace()
        calls = set(re.findall(r"^\d+ +([a-z_0-9]+)\(", text, re.MULTILINE))
        self.assertGreater(len(calls), 30)
        self.assertEqual(calls - allowed_calls(), set(), "calls that the unit's filter refuses")
        families = set(re.findall(r"\bsocket\((AF_[A-Z0-9]+)", text))
        self.assertEqual(families - set(settings()["RestrictAddressFamilies"][0].split()), set())
        self.assertNotIn("PROT_WRITE|PROT_EXEC", text)
        written = re.findall(r'open(?:at)?\((?:[^,]*, )?"([^"]+)", [^)]*O_(?:WRONLY|RDWR|CREAT)', text)
        own = re.compile(re.escape(self.folder) + r"/|/dev/null$|/proc/self/task/\d+/comm$")
        outside = [path for path in written if not own.match(path)]
        self.assertEqual(outside, [], "files written outside the data folder")


if __name__ == "__main__":
    harness.main()
