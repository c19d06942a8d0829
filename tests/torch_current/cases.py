"""Files that the installed torch and safetensors write, for check_imports.py."""
import collections
import contextlib
import ctypes
import os
import pickle
import random
import traceback
import warnings

import torch
from torch import nn

import tensors

KNOWN = {  # Ballast's dtypes that a dense tensor can have
    "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "complex32",
    "complex64", "complex128", "bool", "bfloat16", "float8_e5m2", "float8_e4m3fn",
    "float8_e5m2fnuz", "float8_e4m3fnuz", "uint16", "uint32", "uint64", "float8_e8m0fnu",
    "float4_e2m1fn_x2"}
LEGACY = {"_use_new_zipfile_serialization": False}
EXACT, REFUSED, EITHER = "exact", "refused", "either"  # either: exact, or refused


class Skip(Exception):
    """Says why a case cannot be made here."""


def need(condition, why):
    if not condition:
        raise Skip(why)


class Labelled(torch.Tensor):
    pass


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.rnn = nn.LSTM(4, 3, num_layers=2)
        self.embed, self.head = nn.Embedding(11, 4), nn.Linear(4, 11, bias=False)
        self.head.weight = self.embed.weight
        self.norm = nn.LayerNorm(4)
        self.attention = nn.MultiheadAttention(4, 2)
        self.register_buffer("steps", torch.tensor(7))
        self.register_buffer("hidden", torch.ones(2), persistent=False)

    def forward(self, x):
        return self.head(self.norm(self.embed(x)))


def filled(dtype, shape, rng):
    """Any bit pattern."""
    out = torch.empty(shape, dtype=dtype)
    raw = rng.randbytes(out.numel() * out.element_size())
    if dtype == torch.bool:
        raw = bytes(b & 1 for b in raw)
    if raw:
        ctypes.memmove(out.data_ptr(), raw, len(raw))
    return out


def all_dtypes():
    found = {v for v in vars(torch).values() if isinstance(v, torch.dtype)}
    return sorted(found, key=str)


class Cases:
    def __init__(self, folder, log, note):
        """`note` keeps what must be found in a file, at once: what follows may end the process."""
        self.folder, self.log, self.note, self.count = folder, log, note, 0
        self.rng = random.Random("torch_current")

    def path(self, name):
        return os.path.join(self.folder, name)

    def expect(self, name, state, outcome=EXACT, ordered=True, **more):
        """Notes what must be found in a file that is already written."""
        want = {"file": name, "outcome": outcome, "ordered": ordered, **more}
        if outcome != REFUSED:
            flat = tensors.flatten(state)
            want["entries"] = [tensors.entry_of(k, t) for k, t in flat.items()]
            want["ties"] = more.get("ties", tensors.ties_of(flat))
        self.note(want)
        self.count += 1

    def save(self, name, state, outcome=EXACT, want=None, **options):
        torch.save(state, self.path(name), **options)
        self.expect(name, state if want is None else want, outcome)

    def both(self, name, state, outcome=EXACT, want=None, **options):
        self.save(name + ".pth", state, outcome, want, **options)
        self.save(name + ".legacy.pth", state, outcome, want, **options, **LEGACY)

    def run_states(self):
        for name in sorted(n for n in dir(self) if n.startswith("case_")):
            self.attempt(name[5:], getattr(self, name))

    def run_dtypes(self):
        for dtype in all_dtypes():
            name = str(dtype).replace("torch.", "")
            for way in (self.dtype_saved, self.dtype_legacy, self.dtype_safetensors):
                self.attempt(f"{way.__name__} {name}", lambda: way(name, dtype))

    def attempt(self, what, case):
        before = self.count
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                case()
            self.log(f"wrote {what}: {self.count - before} files")
        except Skip as why:
            self.log(f"skipped {what}: {why}")
        except Exception as error:  # what this torch cannot do must not end the run
            text = " ".join(str(error).split())[:200]
            at = traceback.extract_tb(error.__traceback__)[-1]
            self.log(f"not written: {what}: {type(error).__name__}: {text} "
                     f"({os.path.basename(at.filename)}:{at.lineno})")

    def dtype_state(self, dtype):
        shapes = {"z.matrix": (3, 4), "scalar": (), "empty": (2, 0, 3), "a.cube": (2, 1, 5)}
        return {k: filled(dtype, shape, self.rng) for k, shape in shapes.items()}

    def dtype_saved(self, name, dtype):
        self.save(f"dtype-{name}.pth", self.dtype_state(dtype), EXACT if name in KNOWN else REFUSED)

    def dtype_legacy(self, name, dtype):
        self.save(f"dtype-{name}.legacy.pth", self.dtype_state(dtype),
                  EXACT if name in KNOWN else REFUSED, **LEGACY)

    def dtype_safetensors(self, name, dtype):
        state = self.dtype_state(dtype)
        if "float4" in name:
            del state["scalar"]  # half a byte there
        self.save_safetensors(f"dtype-{name}.safetensors", state,
                              EXACT if name in KNOWN else EITHER)

    def save_safetensors(self, name, state, outcome=EXACT, **options):
        try:
            from safetensors.torch import save_file
        except ImportError:
            raise Skip("no safetensors")
        save_file(state, self.path(name), **options)
        self.expect(name, state, outcome, ordered=False)

    def case_safetensors(self):
        state = {"w": filled(torch.float32, (5, 3), self.rng), "größe.🔥": torch.arange(3)}
        self.save_safetensors("plain.safetensors", state)
        self.save_safetensors("metadata.safetensors", state,
                              metadata={"format": "pt", "note": "zwei\nZeilen \"🔥\""})
        self.save_safetensors("none.safetensors", {})

    def case_safetensors_model(self):
        try:
            from safetensors.torch import save_model
        except ImportError:
            raise Skip("no safetensors")
        net = Net()
        save_model(net, self.path("model.safetensors"))  # keeps one key of a tie
        state = collections.OrderedDict(net.state_dict())
        with open(self.path("model.safetensors"), "rb") as f:
            header = f.read(int.from_bytes(f.read(8), "little"))
        for key in ("embed.weight", "head.weight"):
            if f'"{key}":{{' .encode() not in header:
                del state[key]
        self.expect("model.safetensors", state, ordered=False)

    def case_module(self):
        self.both("state_dict", Net().state_dict())
        self.both("keep_vars", Net().state_dict(keep_vars=True))
        self.both("prefixed", {"module." + k: v for k, v in Net().state_dict().items()})

    def case_whole_module(self):
        self.both("module", Net(), EITHER)
        self.both("module_inside", {"epoch": 1, "net": nn.Linear(2, 2)}, EITHER)

    def case_protocols(self):
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            self.both(f"protocol{protocol}", Net().state_dict(), pickle_protocol=protocol)

    def case_pickled_without_save(self):
        state = Net().state_dict()
        for protocol in (3, 4, 5):
            with open(self.path(f"bare{protocol}.pkl"), "wb") as f:
                pickle.dump(state, f, protocol)
            self.expect(f"bare{protocol}.pkl", state, EXACT, ties=None)

    def case_views(self):
        base = filled(torch.float32, (12, 10), self.rng)
        self.both("views", {
            "t": base.t(), "rows": base[2:7], "steps": base[1::3, ::2], "all": base,
            "row": base[3], "one": base[11, 9], "permuted": base.view(3, 4, 10).permute(2, 0, 1),
            "expanded": base[:1].expand(4, 10), "unfolded": base[0].unfold(0, 4, 1),
            "none": base[:0], "again": base, "diagonal": base.diagonal(),
            "channels_last": filled(torch.float32, (2, 3, 4, 5), self.rng).contiguous(
                memory_format=torch.channels_last)})
        number = filled(torch.complex64, (3, 2), self.rng)
        self.both("real_imag", {"real": number.real, "imag": number.imag})

    def case_lazy_values(self):
        """What torch loads again is what is wanted: before 2.0 it loses these bits as it saves."""
        turned = torch.tensor([1 + 2j, -3j]).conj()
        for name, tensor in (("conjugate", turned), ("negative", turned.imag)):
            for suffix, options in ((".pth", {}), (".legacy.pth", LEGACY)):
                torch.save({"c": tensor}, self.path(name + suffix), **options)
                back = torch.load(self.path(name + suffix), weights_only=True)
                self.expect(name + suffix, back, EITHER)

    def case_keys(self):
        keys = ["", "a/../b c", "schlüssel.重み.🔥", "x" * 300, "9", "10", "é", "e\u0301"]
        state = collections.OrderedDict((k, torch.tensor([i])) for i, k in enumerate(keys))
        self.both("keys", state)
        self.both("many", {f"k{i}": torch.tensor(i) for i in range(1500)})

    def case_large(self):
        self.both("large", {"w": torch.arange(5 << 17, dtype=torch.float32) + 0.5, "b": torch.ones(1)})

    def case_parameters(self):
        state = {"p": nn.Parameter(torch.randn(3)), "frozen": nn.Parameter(torch.ones(2), False),
                 "leaf": torch.ones(2, requires_grad=True)}
        if hasattr(nn, "Buffer"):
            state["buffer"] = nn.Buffer(torch.ones(3))
        self.both("parameters", state)
        noted = nn.Parameter(torch.randn(3))
        noted.note = "a value beside the parameter"
        self.both("parameter_with_state", {"p": noted})
        plain = torch.randn(3)
        plain.note = "beside a tensor"
        self.both("tensor_with_state", {"t": plain}, EITHER)

    def case_parameter_containers(self):
        made = nn.ParameterList([torch.ones(2), torch.zeros(1)])
        self.both("parameter_list", made.state_dict())
        normed = getattr(nn.utils, "parametrizations", None)
        if normed is not None and hasattr(normed, "weight_norm"):
            self.both("weight_norm", normed.weight_norm(nn.Linear(3, 2)).state_dict())
        self.both("old_weight_norm", nn.utils.weight_norm(nn.Linear(3, 2)).state_dict())
        from torch.optim.swa_utils import AveragedModel
        self.both("averaged", AveragedModel(nn.Linear(3, 2)).state_dict())

    def case_subclass(self):
        self.both("subclass", {"w": torch.ones(3).as_subclass(Labelled)}, EITHER)

    def case_checkpoint(self):
        net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        makers = {"adam": torch.optim.Adam, "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
                  "adamw": lambda p: torch.optim.AdamW(p, amsgrad=True), "rprop": torch.optim.Rprop,
                  "lbfgs": torch.optim.LBFGS}
        for name, make in makers.items():
            optimizer = make(net.parameters())

            def closure():
                optimizer.zero_grad()
                loss = net(torch.ones(5, 3)).square().sum()
                loss.backward()
                return loss
            optimizer.step(closure)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
            self.both(f"checkpoint-{name}", {
                "model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3,
                "scheduler": scheduler.state_dict(), "rng": torch.get_rng_state(), "best": None,
                "history": [torch.tensor(0.5), torch.tensor(0.25)]})

    def case_numpy(self):
        import numpy
        state = {"w": torch.ones(2), "loss": numpy.float64(0.5), "step": numpy.int64(3),
                 "flag": numpy.bool_(True), "half": numpy.float16(2)}
        self.both("numpy_scalars", state)
        self.both("numpy_arrays", {"w": torch.ones(2), "table": numpy.arange(6.0).reshape(2, 3)},
                  EITHER)

    def case_compiled(self):
        need(hasattr(torch, "compile"), "no torch.compile")
        self.both("compiled", torch.compile(nn.Linear(3, 2)).state_dict())

    def case_data_parallel(self):
        self.both("data_parallel", nn.DataParallel(Net()).state_dict())

    def case_cuda(self):
        need(torch.cuda.is_available(), "no GPU")
        net = Net().cuda()
        self.both("cuda", net.state_dict())
        self.both("cuda_mixed", {"gpu": torch.arange(5, device="cuda:0"), "cpu": torch.arange(5)})
        self.both("cuda_half", nn.DataParallel(net.bfloat16()).state_dict())
        pinned = torch.arange(7).pin_memory()
        self.both("pinned", {"w": pinned})

    def case_options(self):
        made = torch.serialization
        need(hasattr(made, "set_crc32_options"), "no set_crc32_options")
        made.set_crc32_options(False)
        try:
            self.save("without_crc32.pth", Net().state_dict())
        finally:
            made.set_crc32_options(True)

    @contextlib.contextmanager
    def configured(self, **options):
        try:
            from torch.utils.serialization import config
        except ImportError:
            raise Skip("no torch.utils.serialization.config")
        old = {name: getattr(config.save, name) for name in options}
        try:
            for name, value in options.items():
                setattr(config.save, name, value)
            yield
        finally:
            for name, value in old.items():
                setattr(config.save, name, value)

    def case_alignment(self):
        for alignment in (1, 4096, 1 << 16):
            with self.configured(storage_alignment=alignment):
                self.attempt(f"alignment {alignment}", lambda: self.save(
                    f"aligned{alignment}.pth", Net().state_dict()))

    def case_pinned_saving(self):
        need(torch.cuda.is_available(), "no GPU")
        with self.configured(use_pinned_memory_for_d2h=True):
            self.save("saved_pinned.pth", Net().cuda().state_dict())

    def case_skipped_data(self):
        need(hasattr(torch.serialization, "skip_data"), "no skip_data")
        with torch.serialization.skip_data():
            torch.save({"w": torch.ones(4)}, self.path("skipped.pth"))
        self.expect("skipped.pth", {"w": torch.zeros(4)}, EITHER)

    def case_buffer(self):
        import io
        buffer, net = io.BytesIO(), Net()
        torch.save(net.state_dict(), buffer)
        with open(self.path("from_buffer.bin"), "wb") as f:
            f.write(buffer.getvalue())
        self.expect("from_buffer.bin", net.state_dict())

    def case_alone(self):
        self.both("tensor_alone", torch.arange(4), EITHER, want={"": torch.arange(4)})
        self.both("list", [torch.arange(4), torch.ones(1)], EITHER)
        self.both("no_entries", {})
        self.both("ties", {"z": (t := torch.randn(3, 2)), "m": torch.ones(1), "a": t})

    def case_storages(self):
        self.both("storage_beside", {"w": torch.ones(2), "s": torch.ones(3).storage()}, EITHER,
                  want={"w": torch.ones(2)})

    def case_layouts(self):
        dense = torch.eye(3)
        makers = {
            "coo": dense.to_sparse, "csr": dense.to_sparse_csr,
            "csc": lambda: dense.to_sparse_csc(), "meta": lambda: dense.to("meta"),
            "bsr": lambda: torch.eye(4).to_sparse_bsr((2, 2)),
            "mkldnn": lambda: dense.to_mkldnn(),
            "qint8": lambda: torch.quantize_per_tensor(dense, 0.5, 3, torch.qint8),
            "qint32": lambda: torch.quantize_per_tensor(dense, 0.5, 3, torch.qint32),
            "quint8": lambda: torch.quantize_per_channel(
                dense, torch.ones(3), torch.zeros(3), 0, torch.quint8),
            "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
            "jagged": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)],
                                                         layout=torch.jagged),
            "uninitialised": lambda: nn.LazyLinear(3).weight,
        }
        for name, make in makers.items():
            self.attempt(f"refused {name}", lambda: self.both(
                "refused-" + name, {"some.key": make()}, REFUSED))

    def case_script(self):
        net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        torch.jit.script(net).save(self.path("script.pt"))
        self.expect("script.pt", net.state_dict(), ordered=False)
        torch.jit.trace(net.eval(), torch.ones(4, 3)).save(self.path("trace.pt"))
        self.expect("trace.pt", net.state_dict(), ordered=False)

    def case_exported(self):
        need(hasattr(torch, "export") and hasattr(torch.export, "save"), "no torch.export")
        net = nn.Linear(3, 2)
        torch.export.save(torch.export.export(net, (torch.ones(1, 3),)), self.path("exported.pt2"))
        self.expect("exported.pt2", net.state_dict(), EITHER, ordered=False)

    def case_distributed(self):
        from torch.distributed import checkpoint
        need(hasattr(checkpoint, "save"), "no distributed.checkpoint.save")
        checkpoint.save({"w": torch.ones(3)}, checkpoint_id=self.path("dcp"))
        self.expect("dcp", {}, REFUSED)
        from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
        dcp_to_torch_save(self.path("dcp"), self.path("dcp_merged.pth"))
        self.expect("dcp_merged.pth", {"w": torch.ones(3)})

    def case_torchvision(self):
        try:
            from torchvision.models import squeezenet1_1
        except Exception as error:
            raise Skip(f"no torchvision: {error}")
        self.save("squeezenet.pth", squeezenet1_1(num_classes=3).half().state_dict())

    def case_transformers(self):
        try:
            from transformers import GPT2Config, GPT2LMHeadModel
        except Exception as error:
            raise Skip(f"no transformers: {error}")
        net = GPT2LMHeadModel(GPT2Config(n_layer=2, n_head=2, n_embd=16, vocab_size=64))
        self.both("gpt2", net.state_dict())
