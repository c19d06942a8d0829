"""Installs to a temporary prefix and builds a stranger's program against the copy.

    install_test.py BUILD_DIR

With CMake and with pkg-config, and runs both against a server from the installed copy.
BALLAST_CONSUMER_FLAGS are compiler flags that the program needs (sanitizers).
"""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
import harness  # noqa: E402

BUILD = sys.argv.pop(1) if len(sys.argv) > 1 else ""
FLAGS = os.environ.get("BALLAST_CONSUMER_FLAGS", "").split()


def run(*argv, env=None):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=900, env={**os.environ, **(env or {})})
    if done.returncode != 0:
        raise AssertionError(f"{argv} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


class InstallTest(harness.TestCase):
    WITH_SERVER = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Installed, then moved: nothing may depend on where it was installed to.
        first = os.path.join(cls.class_folder, "first")
        cls.prefix = os.path.join(cls.class_folder, "prefix")
        run("cmake", "--install", BUILD, "--prefix", first)
        shutil.move(first, cls.prefix)
        cls.libdir = os.path.dirname(cls.find("libballast-client.so"))
        cls.server = harness.Server(os.path.join(cls.class_folder, "data"))
        cls.server.argv[0] = os.path.join(cls.prefix, "bin", "ballastd")
        cls.addClassCleanup(cls.server.stop)
        cls.server.start()

    @classmethod
    def find(cls, name):
        for folder, _, names in os.walk(cls.prefix):
            if name in names:
                return os.path.join(folder, name)
        raise AssertionError("not installed: " + name)

    def run_consumer(self, program, model):
        out = run(program, type(self).server.address, model, env={"LD_LIBRARY_PATH": self.libdir})
        self.assertEqual(out, model + ":1\n")

    def test_the_package_is_found_by_cmake(self):
        build = self.path("build")
        run("cmake", "-S", os.path.join(HERE, "consumer"), "-B", build, "-G", "Ninja",
            "-DCMAKE_PREFIX_PATH=" + self.prefix, "-DCMAKE_CXX_FLAGS=" + " ".join(FLAGS))
        run("cmake", "--build", build)
        self.run_consumer(os.path.join(build, "consumer"), "install/cmake")

    def test_the_package_is_found_by_pkg_config(self):
        env = {"PKG_CONFIG_PATH": os.path.join(self.libdir, "pkgconfig")}
        flags = run("pkg-config", "--cflags", "--libs", "ballast-client", env=env).split()
        program = self.path("consumer")
        run("c++", "-std=c++20", "-Wall", "-Wextra", "-Werror", *FLAGS,
            os.path.join(HERE, "consumer", "consumer.cc"), "-o", program, *flags)
        self.run_consumer(program, "install/pkgconfig")

    def test_every_public_header_compiles_alone(self):
        include = os.path.join(self.prefix, "include")
        env = {"PKG_CONFIG_PATH": os.path.join(self.libdir, "pkgconfig")}
        flags = run("pkg-config", "--cflags", "ballast-client", env=env).split()
        for folder, _, names in os.walk(include):
            for name in sorted(names):
                if name == "torch.h":
                    continue  # has its own test, with LibTorch
                path = os.path.join(folder, name)
                with self.subTest(os.path.relpath(path, include)):
                    run("c++", "-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", *flags,
                        "-include", path, "-x", "c++", "/dev/null")

    def test_the_installed_programs_run(self):
        program = os.path.join(self.prefix, "bin", "ballast")
        self.assertIn("0.1", run(program, "version"))
        self.assertNotIn(b"/build/", harness.read(self.find("BallastConfig.cmake")))


if __name__ == "__main__":
    harness.main()
