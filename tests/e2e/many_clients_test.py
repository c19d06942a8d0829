"""32 clients at once: every push and pull has the right bytes."""
import concurrent.futures

import containers
import harness

CLIENTS = 32
ROUNDS = 10 if harness.LONG else 3


class ManyClientsTest(harness.TestCase):
    def work(self, client):
        random = harness.rng(f"client{client}")
        shared = harness.rng("shared").randbytes(2_000_000)
        for turn in range(ROUNDS):
            own = random.randbytes(random.randint(1, 1_500_000))
            entries = [("shared", "uint8", (len(shared),), shared), ("own", "uint8", (len(own),), own)]
            path = harness.write(self.path(f"in{client}"), containers.safetensors(entries))
            model = f"many/{client % 8}"
            pushed = self.push(path, model, *(["--raw"] if client % 3 == 0 else []))
            name = ("safetensors", "torchsharp")[turn % 2]
            out = self.pull(pushed["reference"], f"out{client}", "--format", name, "--force")
            if name == "torchsharp":
                self.assertEqual(harness.read(out), containers.dat(entries))
            back = self.push(out, f"many-back/{client}")
            self.assertEqual((back["digest"], back["bytes_new"]), (pushed["digest"], 0))
        return pushed["reference"]

    def test_all_at_once(self):
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            references = list(pool.map(self.work, range(CLIENTS)))
        self.assertEqual(len(set(references)), CLIENTS)
        numbers = sorted(int(r.split(":")[1]) for r in references if r.startswith("many/0:"))
        self.assertLessEqual(numbers[-1], CLIENTS // 8 * ROUNDS)


if __name__ == "__main__":
    harness.main()
