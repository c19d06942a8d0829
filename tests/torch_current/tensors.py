"""What check_here.py and cases.py know of tensors: their bytes, and which are tied."""
import collections
import ctypes
import hashlib

import torch


def raw_of(tensor):
    """The contiguous little-endian bytes, of any dtype; -0.0, NaNs and conjugates as they are."""
    tensor = tensor.detach()
    if tensor.device.type != "cpu":
        tensor = tensor.cpu()
    for resolve in ("resolve_conj", "resolve_neg"):
        tensor = getattr(tensor, resolve)()
    if not tensor.is_contiguous():
        tensor = tensor.contiguous()
    size = tensor.numel() * tensor.element_size()
    return ctypes.string_at(tensor.data_ptr(), size) if size else b""


def entry_of(key, tensor):
    return {"key": key, "dtype": str(tensor.dtype).replace("torch.", ""),
            "shape": list(tensor.shape), "sha256": hashlib.sha256(raw_of(tensor)).hexdigest()}


def storage_of(tensor):
    storage = tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor.storage()
    return str(tensor.device), storage.data_ptr()


def ties_of(tensors):
    """Groups of keys with the same storage, offset, dtype, shape and stride."""
    groups = collections.OrderedDict()
    for key, t in tensors.items():
        if t.numel():
            same = (storage_of(t), t.storage_offset(), str(t.dtype), tuple(t.shape), t.stride())
            groups.setdefault(same, []).append(key)
    return [keys for keys in groups.values() if len(keys) > 1]


def sharing_of(tensors):
    """Groups of keys whose storages are one."""
    groups = collections.OrderedDict()
    for key, t in tensors.items():
        if t.numel():
            groups.setdefault(storage_of(t), []).append(key)
    return [keys for keys in groups.values() if len(keys) > 1]


def flatten(value, prefix=""):
    """The tensors of nested dicts, lists and modules, by the keys that Ballast gives them."""
    if isinstance(value, torch.Tensor):
        return collections.OrderedDict([(prefix, value)])
    if isinstance(value, torch.nn.Module):
        value = value.state_dict(keep_vars=True)
    items = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    out = collections.OrderedDict()
    for key, inner in items:
        out.update(flatten(inner, f"{prefix}.{key}" if prefix else str(key)))
    return out
