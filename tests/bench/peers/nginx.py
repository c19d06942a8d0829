"""nginx with sendfile and DAV, and curl as its client: plain files over HTTP.

It hashes nothing, knows no versions, stores equal files twice and acknowledges an upload before it
is on the disk; the benchmark fsyncs the uploaded file within the measured time.
"""
import os
import subprocess
import time

import pairs
import peers
import peers.plain_copy
import processes

CONFIG = """
user root;
worker_processes 2;
error_log {dir}/error.log;
pid {dir}/nginx.pid;
daemon off;
events {{ worker_connections 64; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  sendfile_max_chunk 2m;
  keepalive_timeout 65;
  client_max_body_size 0;
  client_body_buffer_size 1m;
  client_body_temp_path {dir}/body;
  proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
  server {{
    listen 127.0.0.1:{port};
    root {root};
    location /up/ {{ dav_methods PUT; create_full_put_path on; }}
  }}
}}
"""


class Nginx:
    """Serves `root`; uploads go to `root`/up."""

    def __init__(self, bench, root):
        self.root = root
        folder = bench.path("nginx")
        os.makedirs(folder)
        os.makedirs(os.path.join(root, "up"), exist_ok=True)
        self.port = processes.free_port()
        config = os.path.join(folder, "nginx.conf")
        with open(config, "w") as f:
            f.write(CONFIG.format(dir=folder, root=root, port=self.port))
        self.process = subprocess.Popen(
            [peers.need("nginx"), "-p", folder, "-c", config, "-e", folder + "/error.log"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        bench.callback(processes.stop, self.process)
        processes.wait_for_port(self.port, self.process)
        self.url = f"http://127.0.0.1:{self.port}"

    def cpu_s(self):
        """Of the master and its workers."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as f:
            pids = f.read().split()
        return sum(map(processes.cpu_seconds, [self.process.pid, *pids]))

    def download(self, name, target):
        """A Sample of `curl -o` and fsync to a fresh file."""
        server = self.cpu_s()
        begin = time.monotonic()
        _, cpu = processes.timed(["curl", "-sS", "-f", "-o", target, f"{self.url}/{name}"])
        peers.plain_copy.fsync(target)
        seconds = time.monotonic() - begin
        size = os.path.getsize(target)
        os.remove(target)
        return pairs.Sample(seconds, cpu, self.cpu_s() - server, size)

    def upload(self, source, name):
        """A Sample of `curl -T` and fsync of what was stored; it is removed afterwards."""
        server = self.cpu_s()
        begin = time.monotonic()
        _, cpu = processes.timed(["curl", "-sS", "-f", "-T", source, f"{self.url}/up/{name}"])
        stored = os.path.join(self.root, "up", name)
        peers.plain_copy.fsync(stored)
        seconds = time.monotonic() - begin
        size = os.path.getsize(stored)
        os.remove(stored)
        return pairs.Sample(seconds, cpu, self.cpu_s() - server, size)
