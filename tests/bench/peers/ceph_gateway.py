"""The S3 gateway of a throw-away Ceph on this machine: one monitor, three OSDs on files (bluestore),
two copies of everything, as small as Ceph goes. For the full profile.

It stores objects durably and twice, and computes an MD5; it finds nothing again. curl signs the
request but not the payload (UNSIGNED-PAYLOAD), which is the gateway's cheapest way.
"""
import os
import socket
import subprocess
import time
import uuid

import pairs
import processes

OSDS = 3
START_LIMIT_S = 120
PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "osdmaptool", "radosgw", "radosgw-admin")
POOLS = (".rgw.root", "default.rgw.log", "default.rgw.control", "default.rgw.meta",
         "default.rgw.buckets.index", "default.rgw.buckets.data", "default.rgw.buckets.non-ec")
CONFIG = """
[global]
fsid = {fsid}
mon_initial_members = a
mon_host = [v2:127.0.0.1:{port}/0]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
keyring = {dir}/keyring
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
ms_bind_msgr1 = false
ms_bind_port_min = {port_min}
ms_bind_port_max = {port_max}
run_dir = {dir}
admin_socket = {dir}/$name.asok
log_file = {dir}/$name.log
crash_dir = {dir}/crash
mon_data = {dir}/mon.$id.d
osd_data = {dir}/osd$id
mgr_data = {dir}/mgr
rgw_data = {dir}/rgw
mon_cluster_log_file = {dir}/cluster.log
osd_pool_default_size = 2
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 16
osd_pool_default_pgp_num = 16
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_max_pg_per_osd = 2000
mon_data_avail_warn = 1
mon_data_avail_crit = 1
osd_objectstore = bluestore
osd_op_num_shards = 2
osd_op_num_threads_per_shard = 1
osd_memory_target = 939524096
osd_class_load_list = *
osd_class_default_list = *
bluestore_block_size = {block_bytes}
bluestore_block_db_create = false
bluestore_block_wal_create = false
bluestore_cache_autotune = false
bluestore_cache_size = 67108864
[mon]
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
[client]
log_file = {dir}/client.log
admin_socket =
[client.rgw]
ms_mon_client_mode = crc
"""


def missing():
    """Programs of Ceph that are not here; none if the peer can be measured."""
    folders = os.environ.get("PATH", "").split(":") + ["/usr/bin", "/usr/sbin"]
    return [p for p in PROGRAMS if not any(os.path.exists(os.path.join(f, p)) for f in folders)]


def free_ports(count):
    """A run of ports that nobody listens on now."""
    for start in range(21000, 60000, count):
        try:
            for port in range(start, start + count):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", port))
            return start
        except OSError:
            continue
    raise RuntimeError("no free ports")


class Gateway:
    def __init__(self, bench, store_bytes):
        """`store_bytes`: size of each OSD's sparse file."""
        self.bench = bench
        # Unix sockets lie in it, whose paths must be short.
        self.folder = bench.path("c")
        os.makedirs(self.folder)
        self.config = os.path.join(self.folder, "ceph.conf")
        port = free_ports(OSDS * 4 + 8)
        self.endpoint = f"127.0.0.1:{port + 1}"
        fsid = str(uuid.uuid4())
        with open(self.config, "w") as f:
            f.write(CONFIG.format(fsid=fsid, dir=self.folder, port=port, port_min=port + 2,
                                  port_max=port + OSDS * 4 + 7, block_bytes=store_bytes))
        open(os.path.join(self.folder, "keyring"), "w").close()
        self.daemons = []
        self._start_monitor(fsid, port)
        self._start_osds()
        self._start_gateway()

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _run(self, program, *args, check=True):
        return processes.Finished([program, "-c", self.config, *args], check=check)

    def _spawn(self, program, *args):
        with open(self._path("daemons.out"), "ab") as out:
            process = subprocess.Popen([program, "-c", self.config, *args, "-f"],
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.bench.callback(processes.stop, process)
        self.daemons.append(process)

    def _start_monitor(self, fsid, port):
        self._run("osdmaptool", "--createsimple", str(OSDS), "--clobber", self._path("osdmap"),
                  "--osd_crush_chooseleaf_type=0")
        processes.Finished(["monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a",
                            f"[v2:127.0.0.1:{port}]", "--set-min-mon-release", "16",
                            "--enable-all-features", self._path("monmap")])
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", self._path("monmap"), "--osdmap",
                  self._path("osdmap"), "--keyring", self._path("keyring"))
        self._spawn("ceph-mon", "-i", "a")

    def _start_osds(self):
        for i in range(OSDS):
            os.makedirs(self._path(f"osd{i}"))
            self._run("ceph-osd", "-i", str(i), "--mkfs", "--osd-uuid", str(uuid.uuid4()), "--monmap",
                      self._path("monmap"))
            self._spawn("ceph-osd", "-i", str(i), "--osd_crush_update_on_start=false")
        end = time.monotonic() + START_LIMIT_S
        while f'"num_up_osds":{OSDS}' not in self._run("ceph", "osd", "stat", "-f", "json",
                                                        check=False).stdout.decode():
            if time.monotonic() > end:
                raise RuntimeError("Ceph's OSDs did not come up")
            time.sleep(0.2)

    def _start_gateway(self):
        os.makedirs(self._path("rgw"))
        for pool in POOLS:
            self._run("ceph", "osd", "pool", "create", pool, "8", "8", "replicated")
            self._run("ceph", "osd", "pool", "application", "enable", pool, "rgw")
        self._spawn("radosgw", "-n", "client.rgw", f"--rgw_frontends=beast endpoint={self.endpoint}",
                    f"--keyring={self._path('keyring')}")
        processes.wait_for_port(int(self.endpoint.split(":")[1]), self.daemons[-1], START_LIMIT_S)
        self._run("radosgw-admin", "-n", "client.rgw", "--keyring", self._path("keyring"), "user",
                  "create", "--uid=bench", "--display-name=bench", "--access-key=AK",
                  "--secret-key=SK")
        self._curl("-X", "PUT", f"http://{self.endpoint}/bench")

    def _curl(self, *args):
        return processes.timed(["curl", "-sS", "-f", "--aws-sigv4", "aws:amz:default:s3", "--user",
                                "AK:SK", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-o",
                                os.devnull, *args])

    def _cpu_s(self):
        return sum(processes.cpu_seconds(d.pid) for d in self.daemons)

    def upload(self, source, name):
        """A Sample of `curl -T`; the object is removed afterwards."""
        url = f"http://{self.endpoint}/bench/{name}"
        server, begin = self._cpu_s(), time.monotonic()
        _, cpu = self._curl("-T", source, url)
        seconds = time.monotonic() - begin
        sample = pairs.Sample(seconds, cpu, self._cpu_s() - server, os.path.getsize(source))
        self._curl("-X", "DELETE", url)
        return sample
