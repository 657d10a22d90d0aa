"""The checkpoint reader: reads what PyTorch wrote before 1.6, and refuses whatever a state dict has no need of."""

import io
import os
import pickle
import struct
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from triptych_embedder.models.torch_checkpoint import CheckpointError, read_torch_checkpoint

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_MACHINE = {"protocol_version": _PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
_KINDS = {"float32": "FloatStorage", "int64": "LongStorage", "float16": "HalfStorage"}


class _Global:
    """Pickled as a bare name, whatever it names."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class _Tensor:
    """Pickled as PyTorch pickles a tensor."""

    def __init__(self, key: str, values: NDArray[Any], **changes: Any) -> None:
        self.key, self.values, self.changes = key, values, changes

    def arguments(self) -> tuple[Any, ...]:
        strides = tuple(stride // self.values.itemsize for stride in self.values.strides)
        standard = {"offset": 0, "shape": self.values.shape, "strides": strides}
        described = {**standard, **self.changes}
        return (_Storage(self), described["offset"], described["shape"], described["strides"], False, OrderedDict())


class _Storage:
    def __init__(self, tensor: _Tensor) -> None:
        self.tensor = tensor


_PythonPickler: Any = pickle._Pickler  # the one whose parts can be replaced; the standard one is C


class _Pickler(_PythonPickler):  # type: ignore[misc]
    """Knows the three kinds above."""

    def persistent_id(self, value: object) -> object:
        if isinstance(value, _Storage):
            tensor = value.tensor
            kind = _Global("torch", tensor.changes.get("kind", _KINDS[tensor.values.dtype.name]))
            return ("storage", kind, tensor.key, "cpu", tensor.changes.get("count", tensor.values.size), None)
        return None

    def save(self, value: Any, save_persistent_id: bool = True) -> None:
        if isinstance(value, _Global):
            self.write(f"c{value.module}\n{value.name}\n".encode())
        elif isinstance(value, _Tensor):
            self.save(_Global("torch._utils", "_rebuild_tensor_v2"))
            self.save(value.arguments())
            self.write(pickle.REDUCE)
        else:
            super().save(value, save_persistent_id)


def _pickle(value: object) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, 2).dump(value)
    return buffer.getvalue()


def _checkpoint(
    state: object,
    tensors: Mapping[str, _Tensor],
    *,
    head: tuple[object, ...] = (_MAGIC, _PROTOCOL, _MACHINE),
    keys: object = None,
) -> bytes:
    parts = [*(_pickle(value) for value in head), _pickle(state)]
    storages = {tensor.key: tensor.values for tensor in tensors.values()}
    parts.append(_pickle(sorted(storages) if keys is None else keys))
    for key in sorted(storages):
        parts += [struct.pack("<q", storages[key].size), np.ascontiguousarray(storages[key]).tobytes()]
    return b"".join(parts)


def _write(folder: Path, content: bytes) -> Path:
    path = folder / "checkpoint.pth"
    path.write_bytes(content)
    return path


_WEIGHT = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def test_tensors_come_back_with_names_shapes_and_types(tmp_path: Path) -> None:
    state = OrderedDict(
        weight=_Tensor("1", _WEIGHT),
        half=_Tensor("2", np.array([0.5, -2], np.float16)),
        steps=_Tensor("3", np.array(7, np.int64)),
    )
    state.__dict__["_metadata"] = OrderedDict(version=1)
    read = read_torch_checkpoint(_write(tmp_path, _checkpoint(state, state)))
    assert list(read) == ["weight", "half", "steps"]
    assert np.array_equal(read["weight"], _WEIGHT) and read["weight"].dtype == np.float32
    assert read["half"].tolist() == [0.5, -2] and read["half"].dtype == np.float16
    assert read["steps"].shape == () and read["steps"] == 7
    assert not read["weight"].flags.writeable


def test_tensors_may_share_a_storage(tmp_path: Path) -> None:
    whole = _Tensor("1", _WEIGHT)
    part = _Tensor("1", _WEIGHT, offset=12, shape=(12,), strides=(1,))
    state = {"whole": whole, "part": part}
    read = read_torch_checkpoint(_write(tmp_path, _checkpoint(state, state)))
    assert np.array_equal(read["part"], _WEIGHT.ravel()[12:])


class _Evil:
    """Runs a command where it is unpickled without care."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._marker),)


@pytest.mark.parametrize("place", ["state", "value", "keys", "head"])
def test_a_pickle_that_calls_something_is_refused_and_nothing_is_called(tmp_path: Path, place: str) -> None:
    marker = tmp_path / "called"
    evil, tensors = _Evil(marker), {"weight": _Tensor("1", _WEIGHT)}
    content = {
        "state": lambda: _checkpoint(evil, tensors),
        "value": lambda: _checkpoint({**tensors, "evil": evil}, tensors),
        "keys": lambda: _checkpoint(tensors, tensors, keys=[evil]),
        "head": lambda: _checkpoint(tensors, tensors, head=(evil, _PROTOCOL, _MACHINE)),
    }[place]()
    with pytest.raises(CheckpointError, match="not allowed"):
        read_torch_checkpoint(_write(tmp_path, content))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("os", "system"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_tensor"),
        ("collections", "OrderedDict.__init__"),
        ("collections", "defaultdict"),
        ("triptych_embedder.models.torch_checkpoint", "_Tensor"),
    ],
)
def test_no_name_but_those_of_a_state_dict_is_resolved(tmp_path: Path, module: str, name: str) -> None:
    content = _checkpoint({"weight": _Global(module, name)}, {})
    with pytest.raises(CheckpointError, match="not allowed"):
        read_torch_checkpoint(_write(tmp_path, content))


@pytest.mark.parametrize(
    "target", [_Global("collections", "OrderedDict"), _Global("torch._utils", "_rebuild_tensor_v2")]
)
def test_a_pickle_cannot_change_what_it_is_given(tmp_path: Path, target: _Global) -> None:
    class Built:
        """An object whose state is set on ``target``, by attributes."""

    class Pickler(_Pickler):
        def save(self, value: Any, save_persistent_id: bool = True) -> None:
            if isinstance(value, Built):
                self.save(target)
                self.save((None, {"__call__": "mine"}))
                self.write(pickle.BUILD)
            else:
                super().save(value, save_persistent_id)

    buffer = io.BytesIO()
    Pickler(buffer, 2).dump(Built())
    head = b"".join(_pickle(value) for value in (_MAGIC, _PROTOCOL, _MACHINE))
    with pytest.raises(CheckpointError):
        read_torch_checkpoint(_write(tmp_path, head + buffer.getvalue()))
    assert OrderedDict(a=1) == {"a": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": 1},
        {"offset": -1},
        {"shape": (2, 3, 5)},
        {"shape": (10**12, 10**12), "strides": (10**12, 1)},
        {"shape": (-1, 3, 4)},
        {"shape": [2, 3, 4]},
        {"strides": (1, 2, 6)},
        {"strides": (12, 4)},
        {"count": -24},
        {"count": 23},
        {"count": 10**15, "shape": (24,), "strides": (1,)},
        {"kind": "QInt8Storage"},
        {"kind": "DoubleStorage"},
    ],
)
def test_a_tensor_that_is_described_wrongly_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    state = {"weight": _Tensor("1", _WEIGHT, **changes)}
    with pytest.raises(CheckpointError):
        read_torch_checkpoint(_write(tmp_path, _checkpoint(state, state)))


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    state = {"weight": _Tensor("1", _WEIGHT)}
    whole = _checkpoint(state, state)
    wrong = {
        "empty": b"",
        "zip": b"PK\x03\x04" + b"\0" * 100,
        "magic": _checkpoint(state, state, head=(1, _PROTOCOL, _MACHINE)),
        "protocol": _checkpoint(state, state, head=(_MAGIC, 1000, _MACHINE)),
        "big-endian": _checkpoint(state, state, head=(_MAGIC, _PROTOCOL, {**_MACHINE, "little_endian": False})),
        "a list": _checkpoint([1, 2], state),
        "a number": _checkpoint({"weight": 3}, state),
        "other keys": _checkpoint(state, state, keys=["2"]),
        "keys twice": _checkpoint(state, state, keys=["1", "1"]),
        "no keys": _checkpoint(state, state, keys=3),
        "more": whole + b"\0",
        "cut": whole[:-1],
    }
    for name, content in wrong.items():
        with pytest.raises(CheckpointError):
            read_torch_checkpoint(_write(tmp_path, content))
            pytest.fail(name)


def test_any_cut_is_refused(tmp_path: Path) -> None:
    state = {"weight": _Tensor("1", _WEIGHT)}
    whole = _checkpoint(state, state)
    for length in range(0, len(whole), 7):
        with pytest.raises(CheckpointError):
            read_torch_checkpoint(_write(tmp_path, whole[:length]))


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="larger than 100 bytes"):
        read_torch_checkpoint(_write(tmp_path, b"\0" * 101), max_bytes=100)
