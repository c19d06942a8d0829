"""The LibTorch examples: a training loop pushes, a fresh module computes the same."""
import os

import harness


class ExamplesTest(harness.TestCase):
    def run_example(self, name, *args):
        done = harness.subprocess.run(
            [os.path.join(harness.BIN_DIR, name), type(self).server.address, *args],
            capture_output=True, timeout=harness.CLI_LIMIT_S, env=harness.clean_env())
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout.decode()

    def test_what_was_trained_computes_the_same_in_a_fresh_module(self):
        trained = self.run_example("train_and_push", "examples/digits", "3")
        self.assertIn("CPUFloatType{2,10}", trained)
        self.assertEqual(self.run_example("pull_and_run", "examples/digits@candidate"), trained)
        self.assertEqual(self.run_example("pull_and_run", "examples/digits:3"), trained)
        self.assertNotEqual(self.run_example("pull_and_run", "examples/digits:1"), trained)

    def test_kinds_and_messages_arrive(self):
        self.run_example("train_and_push", "examples/kinds", "1")
        entries = self.json("inspect", "examples/kinds")["entries"]
        kinds = {e["key"]: e["kind"] for e in entries}
        self.assertEqual(kinds["hidden.weight"], "parameter")
        self.assertEqual(kinds["norm.running_mean"], "buffer")
        self.assertEqual({tuple(e["shape"]) for e in entries if "batches" in e["key"]}, {()})
        self.assertIn("epoch 1", self.ok("versions", "examples/kinds").decode())


if __name__ == "__main__":
    harness.main()
