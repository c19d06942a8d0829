#!/usr/bin/env python3
"""Turns every knob of the floor program and tells which setting moves the most bytes.

    floor_sweep.py [--mib 256] [--pairs 3]

Each setting is compared with the product's own (message 2 MiB, frame 16 MiB − 1, TCP) round by
round, as in pairs.py; one knob is turned at a time.
"""
import argparse
import contextlib
import dataclasses
import statistics
import sys

import context
import floor
import machine
import pairs

KIB, MIB = 1 << 10, 1 << 20
FRAME = "grpc.http2.max_frame_size"
LOOKAHEAD = "grpc.http2.lookahead_bytes"
READ_CHUNK = "grpc.experimental.tcp_read_chunk_size"
READ_CHUNK_MIN = "grpc.experimental.tcp_min_read_chunk_size"
READ_CHUNK_MAX = "grpc.experimental.tcp_max_read_chunk_size"
WRITE_BUFFER = "grpc.http2.write_buffer_size"
ZEROCOPY = "grpc.experimental.tcp_tx_zerocopy_enabled"
BDP = "grpc.http2.bdp_probe"

# name: (message bytes, streams, channel arguments)
SETTINGS = {
    "the product's": (2 * MIB, 1, ()),
    "message 64 KiB": (64 * KIB, 1, ()),
    "message 256 KiB": (256 * KIB, 1, ()),
    "message 1 MiB": (1 * MIB, 1, ()),
    "message 3 MiB": (3 * MIB, 1, ()),
    "message 4 MiB − 1 KiB": (4 * MIB - KIB, 1, ()),
    "frame 16 KiB": (2 * MIB, 1, (f"{FRAME}={16 * KIB}",)),
    "frame 256 KiB": (2 * MIB, 1, (f"{FRAME}={256 * KIB}",)),
    "frame 1 MiB": (2 * MIB, 1, (f"{FRAME}={MIB}",)),
    "frame 4 MiB": (2 * MIB, 1, (f"{FRAME}={4 * MIB}",)),
    "window 1 MiB, no probe": (2 * MIB, 1, (f"{LOOKAHEAD}={MIB}", f"{BDP}=0")),
    "window 4 MiB": (2 * MIB, 1, (f"{LOOKAHEAD}={4 * MIB}",)),
    "window 16 MiB": (2 * MIB, 1, (f"{LOOKAHEAD}={16 * MIB}",)),
    "window 16 MiB, no probe": (2 * MIB, 1, (f"{LOOKAHEAD}={16 * MIB}", f"{BDP}=0")),
    "read chunk 64 KiB": (2 * MIB, 1, (f"{READ_CHUNK}={64 * KIB}",)),
    "read chunk 1 MiB": (2 * MIB, 1, (f"{READ_CHUNK}={MIB}", f"{READ_CHUNK_MAX}={4 * MIB}")),
    "read chunk 1 MiB at least": (2 * MIB, 1, (f"{READ_CHUNK}={MIB}", f"{READ_CHUNK_MIN}={MIB}",
                                             f"{READ_CHUNK_MAX}={4 * MIB}")),
    "write buffer 8 MiB": (2 * MIB, 1, (f"{WRITE_BUFFER}={8 * MIB}",)),
    "send without copying": (2 * MIB, 1, (f"{ZEROCOPY}=1",)),
    "2 connections": (2 * MIB, 2, ()),
    "4 connections": (2 * MIB, 4, ()),
}


def compare(bench, size, name, setting, reference, address):
    message_bytes, streams, arguments = setting
    other = floor.Floor(bench, size, address, arguments)
    samples = pairs.run({
        "reference": lambda: reference.pull(size, copy=False),
        name: lambda: other.pull(size, copy=False, message_bytes=message_bytes, streams=streams),
    }, bench.pairs)
    ratios = [a.value / b.value for a, b in zip(samples[name], samples["reference"])]
    other.client.close(), other.server.close()
    print(f"| {name} | {pairs.median(samples[name]):.2f} | {statistics.median(ratios):.2f} |"
          f" {min(ratios):.2f}–{max(ratios):.2f} | {pairs.cpu_text(samples[name])} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=3)
    chosen = parser.parse_args()
    profile = dataclasses.replace(context.PROFILES["quick"], pairs=chosen.pairs)
    size = chosen.mib * MIB
    print(machine.describe())
    print("| setting | GB/s | ÷ the product's | min–max | CPU s/GB client + server |\n|---|---|---|---|---|")
    with contextlib.ExitStack() as stack:
        bench = stack.enter_context(context.Bench(profile))
        reference = floor.Floor(bench, size)
        for name, setting in SETTINGS.items():
            compare(bench, size, name, setting, reference, "127.0.0.1:0")
        compare(bench, size, "unix socket", SETTINGS["the product's"], reference,
                "unix:" + bench.path("floor.sock"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
