"""What the packaging tests ask of Debian: libraries of programs, and who owns them."""
import os
import re
import shutil
import subprocess


def run(*argv, **options):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=600, **options)
    if done.returncode != 0:
        raise AssertionError(f"{argv} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def is_debian_12():
    try:
        with open("/etc/os-release") as f:
            return 'VERSION_ID="12"' in f.read() and shutil.which("dpkg-query") is not None
    except OSError:
        return False


def libraries(program):
    """Paths of all shared libraries that the program loads, its own ones' too."""
    found = re.findall(r"=> (/\S+)", run("ldd", program))
    return {os.path.realpath(path) for path in found}


def direct_libraries(program):
    """Paths of the libraries that the program names itself."""
    names = set(re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-d", program)))
    paths = dict(re.findall(r"(\S+) => (/\S+)", run("ldd", program)))
    return {os.path.realpath(paths[name]) for name in names if name in paths}


def owners(paths):
    """The packages that the files are from. /lib is /usr/lib, but dpkg knows one of them."""
    ways = {path: {path, re.sub("^/usr/", "/", path), "/usr" + path} for path in paths}
    done = subprocess.run(["dpkg-query", "-S", *sorted(set().union(*ways.values()))],
                          capture_output=True, text=True)
    known = dict(reversed(line.split(": ", 1)) for line in done.stdout.splitlines())
    found = set()
    for path, names in ways.items():
        packages = {known[name].split(":")[0] for name in names if name in known}
        if not packages:
            raise AssertionError(f"no package owns {path}")
        found |= packages
    return found


def closure(packages):
    """The packages and all that they depend on, among those that are installed."""
    names = re.compile(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]*)")
    depends = {}
    listing = run("dpkg-query", "-W", "-f",
                  "${Package}\t${Depends}, ${Pre-Depends}\t${Provides}\n")
    for line in listing.splitlines():
        name, text, provided = line.split("\t", 2)
        depends.setdefault(name, []).extend(names.findall(text))
        for virtual in names.findall(provided):
            depends.setdefault(virtual, []).append(name)
    seen = set()
    waiting = list(packages)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += depends.get(name, [])
    return seen
