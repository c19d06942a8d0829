"""Processes that a benchmark starts: helpers that answer commands, servers, and timed programs.
Whatever is started here is stopped here, by its process id."""
import json
import os
import resource
import selectors
import socket
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
STOP_LIMIT_S = 30
ANSWER_LIMIT_S = 900
RUN_LIMIT_S = 900


def cpu_seconds(pid):
    """User and system time of a process with all its threads."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def status_bytes(pid, name):
    """A kB field of /proc/PID/status."""
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith(name + ":"):
                return int(line.split()[1]) << 10
    raise RuntimeError(f"no {name} for process {pid}")


def reset_peak_rss(pid):
    with open(f"/proc/{pid}/clear_refs", "w") as f:
        f.write("5")


def written_bytes(pid):
    """Bytes that the process has made the disk write."""
    with open(f"/proc/{pid}/io") as f:
        for line in f:
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
    raise RuntimeError(f"no write_bytes for process {pid}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def stop(process):
    """Asks a process to end; kills it if it does not."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(timeout=STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for_port(port, process, limit_s=30):
    end = time.monotonic() + limit_s
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args[0]} ended with {process.returncode}")
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > end:
            raise RuntimeError(f"{process.args[0]} does not listen on port {port}")
        time.sleep(0.05)


class Helper:
    """A process that answers each line with a line of JSON."""

    def __init__(self, argv):
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def tell(self, *words):
        """Sends a command; its answer is fetched with `answer`."""
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.process.stdin.flush()

    def answer(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(ANSWER_LIMIT_S):
                raise RuntimeError(f"{self.process.args}: no answer in {ANSWER_LIMIT_S} s")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args}: ended with {self.process.wait()}")
        numbers = json.loads(line)
        if "error" in numbers:
            raise RuntimeError(f"{self.process.args}: {numbers['error']}")
        return numbers

    def ask(self, *words):
        self.tell(*words)
        return self.answer()

    def close(self):
        self.process.stdin.close()
        stop(self.process)
        self.process.stdout.close()


class Finished:
    """A program that ran to its end: wall time, its processor time, its output."""

    def __init__(self, argv, env=None, stdin=None, check=True):
        begin = time.monotonic()
        process = subprocess.Popen(argv, stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=env)
        try:
            self.stdout, self.stderr = process.communicate(timeout=RUN_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        self.seconds = time.monotonic() - begin
        self.returncode = process.returncode
        self.argv = argv
        if check and self.returncode != 0:
            raise RuntimeError(f"{argv}: ended with {self.returncode}: "
                               f"{self.stderr.decode(errors='replace')[-2000:]}")


def timed(argv, env=None):
    """Runs a program; (Finished, processor seconds of it and its children)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = Finished(argv, env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
