"""Names the machine that a run was on."""
import os
import platform


def _first(path, prefix):
    with open(path) as f:
        for line in f:
            if line.startswith(prefix):
                return line.split(":", 1)[1].strip()
    return "unknown"


def _file_system(path):
    """Device and type of the file system that holds `path`."""
    path, best = os.path.realpath(path), ("", "unknown", "unknown")
    with open("/proc/mounts") as f:
        for line in f:
            device, mount, kind = line.split()[:3]
            inside = path == mount or path.startswith(mount.rstrip("/") + "/")
            if inside and len(mount) >= len(best[0]):
                best = (mount, device, kind)
    return f"{best[1]} ({best[2]})"


def describe(folder=None):
    flags = _first("/proc/cpuinfo", "flags").split()
    names = [f for f in ("sha_ni", "avx2", "avx512f", "vpclmulqdq") if f in flags]
    memory_gib = int(_first("/proc/meminfo", "MemTotal").split()[0]) / (1 << 20)
    load = os.getloadavg()
    return (f"machine: {os.cpu_count()} cores, {_first('/proc/cpuinfo', 'model name')}"
            f" ({' '.join(names) or 'no SHA instructions'}), {memory_gib:.0f} GiB,"
            f" Linux {platform.release()}, disk {_file_system(folder or os.environ.get('TMPDIR', '/tmp'))},"
            f" load {load[0]:.1f} {load[1]:.1f} {load[2]:.1f}")
