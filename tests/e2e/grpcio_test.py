"""A foreign client: messages from plain `protoc --python_out`, calls by method path."""
import hashlib
import os
import queue
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

import containers
import harness

try:
    import grpc
    import google.protobuf  # noqa: F401
except ImportError:
    harness.skip_all("no python3-grpcio or python3-protobuf")

PROTO = os.path.join(harness.ROOT, "proto")
if shutil.which("protoc") is None:
    harness.skip_all("no protoc")
GENERATED = tempfile.mkdtemp(prefix="ballast-protos-")
subprocess.run(["protoc", "-I" + PROTO, "--python_out=" + GENERATED,
                *(os.path.join(PROTO, "ballast/v1", f"{n}.proto")
                  for n in ("error", "types", "registry"))], check=True)
sys.path.insert(0, GENERATED)
from ballast.v1 import error_pb2, registry_pb2, types_pb2  # noqa: E402

shutil.rmtree(GENERATED)
BLOCK_BYTES = 1 << 20
SHAPES = {"Push": "stream_stream", "Pull": "unary_stream", "Convert": "stream_stream",
          "Inspect": "stream_stream", "Validate": "stream_stream", "BindSchema": "stream_unary",
          "GetSchema": "unary_stream"}


def blocks_of(data):
    return [data[i:i + BLOCK_BYTES] for i in range(0, len(data), BLOCK_BYTES)]


def version_digest(entries):
    h = hashlib.sha256(b"ballast.version.v1\0")
    for key, dtype, shape, data in sorted(entries, key=lambda e: e[0].encode()):
        raw = key.encode()
        h.update(struct.pack("<I", len(raw)) + raw + bytes([len(dtype)]) + dtype.encode())
        h.update(bytes([len(shape)]) + b"".join(struct.pack("<Q", d) for d in shape))
        h.update(hashlib.sha256(b"".join(hashlib.sha256(b).digest() for b in blocks_of(data))).digest())
    return h.digest()


class GrpcioTest(harness.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.channel = grpc.insecure_channel(cls.server.address)
        cls.addClassCleanup(cls.channel.close)
        random = harness.rng("grpcio")
        cls.entries = [("w", "uint8", (2_500_000,), random.randbytes(2_500_000)),
                       ("b", "float32", (2, 3), random.randbytes(24)),
                       ("n", "int64", (), struct.pack("<q", 9)), ("e", "float32", (0,), b"")]

    def call(self, method, response):
        """The multicallable of a method; messages default to <method>Request."""
        shape = SHAPES.get(method, "unary_unary")
        make = getattr(type(self).channel, shape)
        multi = make(f"/ballast.v1.Registry/{method}",
                     request_serializer=lambda m: m.SerializeToString(),
                     response_deserializer=response.FromString)
        return lambda argument: multi(argument, timeout=60 * harness.SLOWER)

    def header(self, model, request_id, **more):
        return registry_pb2.PushRequest(header=registry_pb2.PushHeader(
            model=model, request_id=request_id, **more))

    def manifest(self):
        piece = types_pb2.ManifestPiece(format="tensors", last=True)
        for key, dtype, shape, data in self.entries:
            piece.entries.add(
                key=key, dtype=dtype, shape=shape,
                block_digests=b"".join(hashlib.sha256(b).digest() for b in blocks_of(data)))
        return registry_pb2.PushRequest(manifest=piece)

    def push_manifest(self, model, request_id, spoil=lambda block: block):
        """Yields what the server needs; returns (blocks sent, committed)."""
        outgoing = queue.Queue()
        outgoing.put(self.header(model, request_id))
        outgoing.put(self.manifest())
        numbered = list({hashlib.sha256(b).digest(): b
                         for e in self.entries for b in blocks_of(e[3])}.values())
        sent, sent_bytes, committed = 0, 0, None
        responses = self.call("Push", registry_pb2.PushResponse)(iter(outgoing.get, None))
        for response in responses:
            kind = response.WhichOneof("kind")
            if kind == "need":
                for first, count in zip(response.need.first, response.need.count):
                    for number in range(first, first + count):
                        block = spoil(numbered[number])
                        outgoing.put(registry_pb2.PushRequest(block=types_pb2.DataChunk(
                            position=sent, crc32=zlib.crc32(block), payload=block)))
                        sent += 1
                        sent_bytes += len(block)
                if response.need.last:
                    outgoing.put(registry_pb2.PushRequest(
                        end=types_pb2.End(size_bytes=sent_bytes)))
            elif kind == "committed":
                committed = response.committed
        outgoing.put(None)
        return sent, committed

    def push_file(self, model, request_id, data, end=True, **more):
        def requests():
            yield self.header(model, request_id, **more)
            for at in range(0, len(data), 1 << 20):
                piece = data[at:at + (1 << 20)]
                yield registry_pb2.PushRequest(file=types_pb2.DataChunk(position=at, payload=piece))
            if end:
                yield registry_pb2.PushRequest(end=types_pb2.End(size_bytes=len(data)))
        for response in self.call("Push", registry_pb2.PushResponse)(requests()):
            if response.WhichOneof("kind") == "committed":
                return response.committed
        return None

    def pull(self, reference, **more):
        header, data = None, b""
        request = registry_pb2.PullRequest(reference=reference, **more)
        for response in self.call("Pull", registry_pb2.PullResponse)(request):
            kind = response.WhichOneof("kind")
            if kind == "header":
                header = response.header
            elif kind == "data":
                self.assertEqual(response.data.position, len(data) + more.get("offset_bytes", 0))
                self.assertEqual(response.data.crc32, zlib.crc32(response.data.payload))
                self.assertLessEqual(response.ByteSize(), 4 << 20)
                data += response.data.payload
        return header, data

    def assert_error(self, code, reason, run):
        with self.assertRaises(grpc.RpcError) as caught:
            run()
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        details = dict(caught.exception.trailing_metadata())["grpc-status-details-bin"]
        self.assertLessEqual(len(details), 4096)
        status = error_pb2.RpcStatus.FromString(details)
        self.assertEqual(status.details[0].type_url, "type.googleapis.com/google.rpc.ErrorInfo")
        info = error_pb2.ErrorInfo.FromString(status.details[0].value)
        self.assertEqual((info.reason, info.domain), (reason, "ballast"))
        return caught.exception.details()

    def test_a_push_by_manifest_sends_what_is_needed_and_is_committed(self):
        own = harness.rng("manifest").randbytes(3_000_000)
        self.entries = [("own", "uint8", (3_000_000,), own), *self.entries]
        sent, committed = self.push_manifest("py/manifest", "manifest-1")
        self.assertGreater(sent, 0)
        self.assertEqual(committed.version.version, 1)
        self.assertEqual(committed.version.digest, version_digest(self.entries))
        sent, committed = self.push_manifest("py/manifest", "manifest-2")
        self.assertEqual((sent, committed.version.version, committed.version.bytes_new), (0, 2, 0))

    def test_a_push_by_file_has_the_same_digest(self):
        for name, maker in (("dat", containers.dat), ("pth", containers.pth),
                            ("safetensors", containers.safetensors)):
            committed = self.push_file("py/file", name, maker(self.entries))
            self.assertEqual(committed.version.digest, version_digest(self.entries), name)

    def test_the_same_request_id_gives_the_first_answer_again(self):
        data = containers.dat(self.entries[1:])
        first = self.push_file("py/id", "same", data)
        again = self.push_file("py/id", "same", data)
        self.assertEqual(again.version.version, first.version.version)
        self.assertTrue(again.repeated)
        self.assertFalse(first.repeated)

    def test_a_pull_streams_the_file(self):
        source = containers.dat(self.entries)
        self.push_file("py/pull", "1", source)
        header, data = self.pull("py/pull")
        self.assertEqual((header.format, header.size_bytes), ("torchsharp", len(source)))
        self.assertEqual(data, source)

    def test_a_pull_can_start_anywhere(self):
        source = containers.dat(self.entries)
        self.push_file("py/range", "1", source)
        header, _ = self.pull("py/range")
        for offset, length in ((0, 10), (5, 2_000_000), (len(source) - 1, 1), (1 << 20, 0)):
            _, part = self.pull("py/range", offset_bytes=offset, length_bytes=length,
                                layout_digest=header.layout_digest)
            self.assertEqual(part, source[offset:offset + length] if length else source[offset:])
        self.assert_error(grpc.StatusCode.OUT_OF_RANGE, "",
                          lambda: self.pull("py/range", offset_bytes=len(source) + 1))
        self.assert_error(grpc.StatusCode.FAILED_PRECONDITION, "CONFLICT",
                          lambda: self.pull("py/range", layout_digest=b"x" * 32))

    def test_bare_tensors_come_in_the_order_of_the_manifest(self):
        self.push_file("py/tensors", "1", containers.safetensors(self.entries))
        _, data = self.pull("py/tensors", format="tensors")
        self.assertEqual(data, b"".join(e[3] for e in self.entries))

    def test_a_block_that_is_not_its_digest_is_refused(self):
        self.entries = [("w", "uint8", (5,), b"fresh")]
        self.assert_error(grpc.StatusCode.INVALID_ARGUMENT, "CHECKSUM",
                          lambda: self.push_manifest("py/spoiled", "1", lambda b: b"frash"))
        self.fails(harness.NOT_FOUND, "versions", "py/spoiled")

    def test_a_stream_without_its_end_is_not_committed(self):
        with self.assertRaises(grpc.RpcError):
            self.push_file("py/end", "1", containers.dat(self.entries), end=False)
        self.fails(harness.NOT_FOUND, "versions", "py/end")

    def test_errors_carry_their_reason(self):
        self.assert_error(grpc.StatusCode.NOT_FOUND, "", lambda: self.pull("py/absent"))
        self.assert_error(grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED", lambda: self.pull("Py"))
        self.assert_error(grpc.StatusCode.INVALID_ARGUMENT, "TRUNCATED",
                          lambda: self.push_file("py/cut", "1", containers.dat(self.entries)[:-1]))

    def test_an_alias_and_the_listings_agree(self):
        self.push_file("py/list", "1", containers.dat(self.entries[1:]))
        set_alias = self.call("SetAlias", registry_pb2.SetAliasResponse)
        set_alias(registry_pb2.SetAliasRequest(reference="py/list:1", alias="prod", request_id="a"))
        version = self.call("GetVersion", types_pb2.Version)(
            registry_pb2.GetVersionRequest(reference="py/list@prod"))
        self.assertEqual(version.version, 1)
        models = self.call("ListModels", registry_pb2.ListModelsResponse)(
            registry_pb2.ListModelsRequest(prefix="py/list"))
        self.assertEqual([m.model for m in models.models], ["py/list"])
        entries = self.call("ListEntries", registry_pb2.ListEntriesResponse)(
            registry_pb2.ListEntriesRequest(reference="py/list"))
        self.assertEqual([e.key for e in entries.entries], [e[0] for e in self.entries[1:]])

    def test_pages_cover_everything_once(self):
        for n in range(5):
            self.push_file(f"py/page/{n}", "1", containers.dat(self.entries[1:]))
        names, token = [], ""
        while True:
            page = self.call("ListModels", registry_pb2.ListModelsResponse)(
                registry_pb2.ListModelsRequest(prefix="py/page/", page_size=2, page_token=token))
            names += [m.model for m in page.models]
            self.assertLessEqual(len(page.models), 2)
            token = page.next_page_token
            if not token:
                break
        self.assertEqual(names, [f"py/page/{n}" for n in range(5)])

    def test_capabilities_name_formats_and_limits(self):
        answer = self.call("GetCapabilities", registry_pb2.GetCapabilitiesResponse)(
            registry_pb2.GetCapabilitiesRequest())
        writable = {f.format for f in answer.formats if f.write}
        self.assertLessEqual({"torchsharp", "pytorch", "safetensors"}, writable)
        self.assertIn("entries_max", answer.limits)


if __name__ == "__main__":
    harness.main()
