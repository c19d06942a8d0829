"""What the fault tests share: the e2e harness, arguments, a server with small block files, and a
proxy that counts what travels.

    server_kills_test.py [--kills N] [--seed S] [--long] [-k NAME]

The seed decides what is done, in which order, and when something is killed, counted in time or in
bytes; where that hits the server is up to the machine, so a replay comes close and is not the same.
"""
import argparse
import os
import socket
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import harness  # noqa: E402

MIB = 1 << 20
arguments = argparse.Namespace(kills=None, long=harness.LONG)


def main():
    """Runs the test program; a failure says how to have it again."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--kills", type=int)
    parser.add_argument("--seed")
    parser.add_argument("--long", action="store_true", default=harness.LONG)
    _, rest = parser.parse_known_args(namespace=arguments)
    if arguments.seed is not None:
        os.environ["BALLAST_SEED"] = arguments.seed
    seed = os.environ.get("BALLAST_SEED", "0")
    print(f"seed {seed}; again: BALLAST_BIN_DIR={harness.BIN_DIR} {sys.executable} {sys.argv[0]} "
          f"--seed {seed}" + (f" --kills {arguments.kills}" if arguments.kills else "")
          + (" --long" if arguments.long else ""), flush=True)
    if not os.path.exists(harness.ballast()):
        harness.skip_all(f"no ballast in BALLAST_BIN_DIR ({harness.BIN_DIR!r})")
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


def kills(short, long):
    return arguments.kills or (long if arguments.long else short)


def config(path, **limits):
    """A configuration file with these limits, as arguments of ballastd."""
    with open(path, "w") as f:
        f.write("[limits]\n" + "".join(f"{name} = {value}\n" for name, value in limits.items()))
    return ("--config", path)


class Proxy:
    """Hands TCP connections on to `target()` ("host:port") and counts their bytes."""

    def __init__(self, target):
        self.target = target
        self.up = self.down = 0  # bytes from clients, and to them
        self.changed = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.open = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()
        self.cut()

    def cut(self):
        """Ends all connections, as a network does."""
        with self.changed:
            ends = list(self.open)
        for end in ends:
            self._end(end)

    def wait(self, direction, count, alive):
        """Until so many bytes have come this way; false if `alive` ends first."""
        with self.changed:
            while getattr(self, direction) < count:
                if not alive():
                    return False
                self.changed.wait(0.01)
        return True

    def _accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            try:
                host, port = self.target().rsplit(":", 1)
                server = socket.create_connection((host, int(port)))
            except (OSError, IndexError):  # no server, or none that has said its address
                client.close()
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.changed:
                self.open |= {client, server}
            threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client, server):
        with client, server:
            other = threading.Thread(target=self._pump, args=(server, client, "down"), daemon=True)
            other.start()
            self._pump(client, server, "up")
            other.join()

    def _pump(self, source, sink, direction):
        buffer = bytearray(256 << 10)
        try:
            while n := source.recv_into(buffer):
                with self.changed:
                    setattr(self, direction, getattr(self, direction) + n)
                    self.changed.notify_all()
                sink.sendall(memoryview(buffer)[:n])
        except OSError:
            pass
        self._end(sink)
        self._end(source)

    def _end(self, end):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        with self.changed:
            self.open.discard(end)
            self.changed.notify_all()
