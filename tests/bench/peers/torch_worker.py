"""The process that has imported torch. Commands on stdin, an answer in JSON each:
take SAFETENSORS · save PTH · convert PTH PTH."""
import json
import os
import struct
import sys
import time

import torch


def read_safetensors(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        base = f.tell()
        out = {}
        for key, entry in header.items():
            begin, end = entry["data_offsets"]
            f.seek(base + begin)
            out[key] = torch.frombuffer(bytearray(f.read(end - begin)), dtype=torch.uint8)
    return out


def save(tensors, path):
    with open(path, "xb") as f:
        torch.save(tensors, f)
        f.flush()
        os.fsync(f.fileno())


def main():
    held = {}
    for line in sys.stdin:
        command, *words = line.split()
        begin, cpu = time.monotonic(), time.process_time()
        if command == "take":
            held = read_safetensors(words[0])
        elif command == "save":
            save(held, words[0])
        elif command == "convert":
            save(torch.load(words[0], weights_only=True), words[1])
        print(json.dumps({"seconds": time.monotonic() - begin, "cpu_s": time.process_time() - cpu}),
              flush=True)


if __name__ == "__main__":
    main()
