"""The image, as far as this can be seen without a Docker engine: the Dockerfile's rules,
its files, packages and commands, and the compose file."""
import json
import os
import re
import shutil
import subprocess

import debian
import harness

DOCKER = os.path.join(harness.ROOT, "deploy", "docker")
DATA = "/var/lib/ballast"


def instructions():
    """[(word, text)] of the Dockerfile, continuation lines joined."""
    with open(os.path.join(DOCKER, "Dockerfile")) as f:
        lines = [line for line in f.read().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def stages():
    """The instructions of each stage."""
    found = []
    for word, text in instructions():
        if word == "FROM":
            found.append([])
        found[-1].append((word, text))
    return found


def of(stage, word):
    return [text for name, text in stage if name == word]


def copied(text):
    """(sources, target) of a COPY without its flags."""
    words = [w for w in text.split() if not w.startswith("--")]
    return words[:-1], words[-1]


def runtime_packages():
    for text in of(stages()[-1], "RUN"):
        match = re.search(r"apt-get install ([^&]*)", text)
        if match:
            return [w for w in match.group(1).split() if not w.startswith("-")]
    raise AssertionError("the last stage installs nothing")


class DockerfileTest(harness.TestCase):
    WITH_SERVER = False

    def test_it_follows_the_rules_of_good_images(self):
        build, runtime = stages()
        for word, text in instructions():
            self.assertNotEqual(word, "ADD", "COPY does no magic")
            self.assertNotIn("sudo", text)
        for stage in (build, runtime):
            image = of(stage, "FROM")[0].split()[0]
            self.assertRegex(image, r"^debian:12(-slim)?$", "the floor, by its version")
        for text in of(runtime, "RUN"):
            if "apt-get install" in text:
                self.assertIn("--no-install-recommends", text)
                self.assertIn("rm -rf /var/lib/apt/lists/*", text)
        self.assertEqual(of(runtime, "USER"), ["ballast"])
        words = [word for word, _ in runtime]
        self.assertGreater(words.index("ENTRYPOINT"), words.index("USER"))
        self.assertEqual(of(runtime, "VOLUME"), [DATA])
        self.assertEqual(of(runtime, "EXPOSE"), ["7420 9420"])

    def test_every_command_is_a_shell_command(self):
        for stage in stages():
            for text in of(stage, "RUN"):
                done = subprocess.run(["sh", "-n", "-c", text], capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, f"{text}: {done.stderr}")

    def test_what_is_copied_is_there_and_not_ignored(self):
        with open(os.path.join(DOCKER, "Dockerfile.dockerignore")) as f:
            rules = f.read().split()
        self.assertEqual(rules[0], "**", "nothing but what is named")
        kept = {rule[1:] for rule in rules[1:]}
        for text in of(stages()[0], "COPY"):
            for source in copied(text)[0]:
                self.assertTrue(os.path.exists(os.path.join(harness.ROOT, source)), source)
                self.assertIn(source.split("/")[0], kept)
        for name in kept:
            self.assertTrue(os.path.exists(os.path.join(harness.ROOT, name)), name)

    def test_what_the_runtime_stage_takes_is_what_was_built(self):
        sources, target = copied(of(stages()[-1], "COPY")[0])
        self.assertEqual(target, "/usr/bin/")
        built = " ".join(of(stages()[0], "RUN"))
        for source in sources:
            self.assertTrue(source.startswith("/src/build/release/bin/"), source)
            self.assertIn(os.path.basename(source), built.split("--target", 1)[1])

    @harness.unittest.skipUnless(debian.is_debian_12(), "this is not Debian 12")
    @harness.unittest.skipIf(harness.SANITIZED, "a sanitized program links more")
    def test_the_runtime_packages_are_the_programs_libraries(self):
        listed = set(runtime_packages())
        direct, all_of = set(), set()
        for program in (harness.ballast(), harness.ballastd()):
            direct |= debian.direct_libraries(program)
            all_of |= debian.libraries(program)
        self.assertEqual(debian.owners(direct) - listed, set(), "missing from the Dockerfile")
        self.assertEqual(listed - debian.owners(direct), set(), "in the Dockerfile for nothing")
        self.assertEqual(debian.owners(all_of) - debian.closure(listed), set())

    @harness.unittest.skipUnless(debian.is_debian_12(), "this is not Debian 12")
    def test_every_package_has_a_candidate(self):
        with open(os.path.join(harness.ROOT, "deploy", "packages.sh")) as f:
            body = re.search(r"BALLAST_BUILD_PACKAGES=\(([^)]*)\)", f.read()).group(1)
        names = runtime_packages() + body.split()
        out = debian.run("apt-cache", "policy", *names)
        if not out:
            self.skipTest("apt knows no packages here")
        known = dict(re.findall(r"^(\S+):\n.*\n  Candidate: (.*)$", out, re.MULTILINE))
        for name in names:
            self.assertIn(name, known)
            self.assertNotEqual(known[name], "(none)", name)

    def test_the_build_stage_configures_from_what_it_copied(self):
        """Runs the stage's steps in a folder that holds what COPY puts there."""
        source = self.path("src")
        for text in of(stages()[0], "COPY"):
            names, target = copied(text)
            for name in names:
                from_path = os.path.join(harness.ROOT, name)
                to = os.path.join(source, target)
                if target.endswith("/"):
                    to = os.path.join(to, os.path.basename(name))
                to = os.path.normpath(to)
                os.makedirs(os.path.dirname(to), exist_ok=True)
                if os.path.isdir(from_path):
                    shutil.copytree(from_path, to, dirs_exist_ok=True)
                else:
                    shutil.copyfile(from_path, to)
        steps = [text for text in of(stages()[0], "RUN") if "packages.sh" not in text]
        self.assertRegex(steps[0], r"^cmake --preset release ")
        for step in steps if harness.LONG else steps[:1]:
            done = subprocess.run(["sh", "-e", "-c", step], cwd=source, capture_output=True,
                                  text=True, env=harness.clean_env(), stdin=subprocess.DEVNULL)
            self.assertEqual(done.returncode, 0, f"{step}:\n{done.stdout}{done.stderr}")
        if harness.LONG:
            for name in ("ballast", "ballastd"):
                self.assertTrue(os.path.exists(os.path.join(source, "build/release/bin", name)))

    def command(self):
        """What the container runs, on this test's folder and free ports."""
        runtime = stages()[-1]
        words = json.loads(of(runtime, "ENTRYPOINT")[0]) + json.loads(of(runtime, "CMD")[0])
        self.assertEqual(words[0], "ballastd")
        return [re.sub(r"^0\.0\.0\.0:\d+$", "127.0.0.1:0", w.replace(DATA, self.path("data")))
                for w in words[1:]]

    def test_the_command_is_a_good_configuration(self):
        runtime = stages()[-1]
        words = json.loads(of(runtime, "ENTRYPOINT")[0]) + json.loads(of(runtime, "CMD")[0])
        done = subprocess.run(
            [harness.ballastd(), "--check-config",
             *[w.replace(DATA, self.path("data")) for w in words[1:]]],
            capture_output=True, text=True, env=harness.clean_env())
        self.assertEqual((done.returncode, done.stdout), (0, "config ok\n"), done.stderr)

    def test_the_health_check_passes_while_it_serves_and_fails_afterwards(self):
        server = harness.Server(self.path("data"), listen=())
        server.argv = [harness.ballastd(), *self.command()]
        self.addCleanup(server.stop)
        server.start()
        text = of(stages()[-1], "HEALTHCHECK")[0]
        self.assertIn("--start-period", text)
        check = json.loads(text[text.index("CMD") + 3:])
        self.assertEqual(check[0], "ballast")
        check = [server.address if w == "127.0.0.1:7420" else w for w in check[1:]]
        self.assertIn(server.address, check)
        self.ok(*check)
        self.assertEqual(server.stop(), 0)
        self.assertNotEqual(harness.run_cli(*check).returncode, 0)


class ComposeTest(harness.TestCase):
    WITH_SERVER = False

    def setUp(self):
        super().setUp()
        try:
            import yaml
        except ImportError:
            self.skipTest("python3-yaml is missing")
        with open(os.path.join(DOCKER, "compose.yaml")) as f:
            self.compose = yaml.safe_load(f)

    def test_it_builds_this_repository(self):
        service = self.compose["services"]["ballast"]
        context = os.path.normpath(os.path.join(DOCKER, service["build"]["context"]))
        self.assertEqual(context, harness.ROOT)
        self.assertTrue(os.path.exists(os.path.join(context, service["build"]["dockerfile"])))

    def test_it_is_reachable_from_this_machine_only(self):
        service = self.compose["services"]["ballast"]
        inside = set()
        for port in service["ports"]:
            self.assertRegex(port, r"^127\.0\.0\.1:\d+:\d+$")
            inside.add(port.split(":")[2])
        self.assertEqual(inside, set(of(stages()[-1], "EXPOSE")[0].split()))

    def test_it_keeps_the_data_and_nothing_else(self):
        service = self.compose["services"]["ballast"]
        self.assertEqual(service["volumes"], [f"ballast-data:{DATA}"])
        self.assertIn("ballast-data", self.compose["volumes"])
        self.assertIs(service["read_only"], True)
        self.assertEqual(service["cap_drop"], ["ALL"])
        self.assertIn("no-new-privileges:true", service["security_opt"])

    def test_the_image_has_the_projects_version(self):
        with open(os.path.join(harness.ROOT, "CMakeLists.txt")) as f:
            version = re.search(r"project\(Ballast VERSION (\S+)", f.read()).group(1)
        self.assertEqual(self.compose["services"]["ballast"]["image"], f"ballast:{version}")

    def test_compose_itself_takes_it(self):
        command = None
        if shutil.which("docker-compose"):
            command = ["docker-compose"]
        elif shutil.which("docker") and subprocess.run(
                ["docker", "compose", "version"], capture_output=True).returncode == 0:
            command = ["docker", "compose"]
        if command is None:
            self.skipTest("docker compose is missing")
        done = subprocess.run([*command, "-f", os.path.join(DOCKER, "compose.yaml"), "config", "-q"],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    harness.main()
