"""The Debian packages: built, looked at, unpacked into an empty root, and run from there."""
import glob
import os
import re
import shutil
import subprocess

import containers
import debian
import harness

BUILD = os.environ.get("BALLAST_BUILD_DIR", "")
PACKAGES = ("ballast-server", "ballast-client", "libballast-client0.1", "ballast-dev")
DEBIAN = os.path.join(harness.ROOT, "deploy", "debian")


class DebTest(harness.TestCase):
    WITH_SERVER = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        out = os.path.join(cls.class_folder, "out")
        debian.run("cpack", "--config", os.path.join(BUILD, "CPackConfig.cmake"), "-G", "DEB",
                   "-B", out, cwd=cls.class_folder)
        cls.debs = {}
        for path in glob.glob(os.path.join(out, "*.deb")):
            cls.debs[debian.run("dpkg-deb", "-f", path, "Package").strip()] = path
        cls.root = os.path.join(cls.class_folder, "root")
        for name in ("ballast-server", "ballast-client", "libballast-client0.1", "ballast-dev"):
            if name in cls.debs:
                debian.run("dpkg-deb", "-x", cls.debs[name], cls.root)

    def field(self, package, name):
        return debian.run("dpkg-deb", "-f", self.debs[package], name).strip()

    def contents(self, package):
        """Names of all files, from the root; folders end with a slash."""
        lines = debian.run("dpkg-deb", "-c", self.debs[package]).splitlines()
        return {line.split()[5][1:] for line in lines}

    def depends(self, package):
        return set(re.findall(r"(?:^|, )([a-z0-9+.-]+)", self.field(package, "Depends")))

    def test_there_are_these_packages_of_the_projects_version(self):
        self.assertEqual(set(self.debs), set(PACKAGES))
        with open(os.path.join(harness.ROOT, "CMakeLists.txt")) as f:
            version = re.search(r"project\(Ballast VERSION (\S+)", f.read()).group(1)
        for package in PACKAGES:
            self.assertEqual(self.field(package, "Version"), version)
            self.assertTrue(self.field(package, "Description"))

    def test_each_holds_its_part(self):
        server = self.contents("ballast-server")
        for name in ("/usr/bin/ballastd", "/lib/systemd/system/ballastd.service",
                     "/etc/ballast/ballastd.ini", "/usr/share/doc/ballast-server/copyright",
                     "/usr/share/doc/ballast-server/changelog.gz"):
            self.assertIn(name, server)
        self.assertIn("/usr/bin/ballast", self.contents("ballast-client"))
        self.assertEqual({n for n in self.contents("ballast-client") if "/bin/" in n},
                         {"/usr/bin/", "/usr/bin/ballast"})
        self.assertIn("/usr/lib/libballast-client.so.0.1", self.contents("libballast-client0.1"))
        dev = self.contents("ballast-dev")
        self.assertIn("/usr/lib/libballast-client.so", dev)
        self.assertIn("/usr/include/ballast/client.h", dev)
        self.assertTrue(any(n.endswith("/BallastConfig.cmake") for n in dev))
        self.assertTrue(any(n.endswith("/operations.proto") for n in dev))
        for package in PACKAGES:
            for name in self.contents(package):
                self.assertNotIn("/usr/local", name)
                self.assertNotIn("/var/", name, "made when the service starts, not before")

    def test_all_belongs_to_root(self):
        for package in PACKAGES:
            for line in debian.run("dpkg-deb", "-c", self.debs[package]).splitlines():
                self.assertEqual(line.split()[1], "root/root", line)
                self.assertNotRegex(line.split()[0], r"^-.*w..w|s", line)

    @harness.unittest.skipUnless(debian.is_debian_12(), "this is not Debian 12")
    @harness.unittest.skipIf(harness.SANITIZED, "a sanitized program links more")
    def test_it_depends_on_the_libraries_that_it_loads(self):
        for package, file in [("ballast-server", "/usr/bin/ballastd"),
                              ("ballast-client", "/usr/bin/ballast"),
                              ("libballast-client0.1", "/usr/lib/libballast-client.so.0.1")]:
            needed = debian.owners(debian.libraries(self.root + file))
            missing = needed - debian.closure(self.depends(package))
            self.assertEqual(missing, set(), package)
        self.assertIn("libballast-client0.1", self.depends("ballast-dev"))

    def test_the_settings_are_the_operators(self):
        control = self.path("control")
        debian.run("dpkg-deb", "-e", self.debs["ballast-server"], control)
        self.assertEqual(harness.read(os.path.join(control, "conffiles")),
                         b"/etc/ballast/ballastd.ini\n")

    def test_maintainer_scripts_do_nothing_where_systemd_does_not_run(self):
        if os.path.isdir("/run/systemd/system"):
            self.skipTest("systemd runs here")
        control = self.path("control")
        debian.run("dpkg-deb", "-e", self.debs["ballast-server"], control)
        for script, arguments in [("postinst", ("configure", "")), ("postinst", ("configure", "0.0.1")),
                                  ("prerm", ("remove",)), ("prerm", ("upgrade", "9")),
                                  ("postrm", ("remove",)), ("postrm", ("purge",))]:
            path = os.path.join(control, script)
            self.assertTrue(os.access(path, os.X_OK), script)
            done = subprocess.run([path, *arguments], capture_output=True, text=True,
                                  env={"PATH": "/usr/bin:/bin"})
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""), script)

    def test_lintian_finds_no_error(self):
        if shutil.which("lintian") is None:
            self.skipTest("lintian is missing")
        done = subprocess.run(
            ["lintian", "--no-cfg", "--allow-root", "--fail-on", "error", "--tag-display-limit", "0",
             "--display-level", ">=error", *self.debs.values()],
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=900)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_same_build_gives_the_same_control_data(self):
        for package in PACKAGES:
            self.assertNotIn(self.class_folder, debian.run("dpkg-deb", "-I", self.debs[package]))

    @harness.unittest.skipIf(harness.SANITIZED, "the sanitizer's library is not part of the package")
    def test_the_unpacked_programs_push_and_pull(self):
        ballast, ballastd = (os.path.join(self.root, "usr/bin", n) for n in ("ballast", "ballastd"))
        server = harness.Server(self.path("data"))
        server.argv[0] = ballastd
        self.addCleanup(server.stop)
        server.start()
        model = harness.write(self.path("in"), containers.safetensors([("k", "uint8", (3,), b"abc")]))
        for command in (["push", model, "deb/m"], ["pull", "deb/m", "-o", self.path("out")]):
            debian.run(ballast, "--server", server.address, *command, env=harness.clean_env())
        self.assertIn(b"abc", harness.read(self.path("out")))
        self.assertEqual(server.stop(), 0)

    def test_the_unit_names_what_is_installed(self):
        unit = harness.read(os.path.join(self.root, "lib/systemd/system/ballastd.service")).decode()
        for path in set(re.findall(r"(/(?:usr|etc)/\S+)", unit)):
            self.assertTrue(os.path.exists(self.root + path), path)
        if not os.path.isdir(os.path.join(BUILD, "man")):
            return  # help2man is missing
        for page, section in re.findall(r"man:(\w+)\((\d)\)", unit):
            name = os.path.join(self.root, "usr/share/man", f"man{section}", f"{page}.{section}.gz")
            self.assertTrue(os.path.exists(name), name)


if __name__ == "__main__":
    for program in ("cpack", "dpkg-deb", "dpkg-shlibdeps", "readelf"):
        if shutil.which(program) is None:
            harness.skip_all(f"{program} is missing")
    harness.main()
