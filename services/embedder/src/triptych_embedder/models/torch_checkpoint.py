"""Tensors out of PyTorch checkpoints of the format before 1.6 (no zip), without PyTorch and without running their code.

Such a file holds, one after another: pickles of a magic number, the protocol's version and facts about the writing
machine; a pickle of the state dict, whose tensors name their storages by persistent ids; a pickle of the list of
storage keys; and for each key an int64 count and the raw numbers. (``torch.serialization._legacy_save`` writes it.)
"""

import io
import math
import pickle
import struct
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

_MAGIC: Final = 0x1950A86A20F9469CFC6C
_PROTOCOL: Final = 1001

_STORAGE_TYPES: Final[dict[str, np.dtype[Any]]] = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}

_UNPICKLING_ERRORS = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
"""What the pickle module raises on malformed input, by its documentation and by experience."""


class CheckpointError(ValueError):
    """The file is no checkpoint of this format, or holds something that a checkpoint has no need of."""


@dataclass(frozen=True, slots=True)
class _StorageType:
    """Stands for a class such as ``torch.FloatStorage``."""

    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class _Storage:
    """A run of numbers that one or more tensors look at."""

    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A row-major view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]


class _RebuildTensor:
    """Stands for ``torch._utils._rebuild_tensor_v2``; has no attributes that a pickle could set."""

    __slots__ = ()

    def __call__(self, storage: object, offset: object, shape: object, strides: object, *_: object) -> _Tensor:
        if not (isinstance(storage, _Storage) and isinstance(offset, int) and _are_sizes(shape, strides)):
            raise CheckpointError("a tensor is described by something else than storage, offset, shape and strides")
        shape_sizes: tuple[int, ...] = tuple(shape)  # type: ignore[arg-type]
        row_major = tuple(math.prod(shape_sizes[axis + 1 :]) for axis in range(len(shape_sizes)))
        count = math.prod(shape_sizes)
        if tuple(strides) != row_major and count > 1:  # type: ignore[arg-type]
            raise CheckpointError(f"a tensor of shape {shape_sizes} is not stored row by row")
        if offset < 0 or offset + count > storage.count:
            raise CheckpointError(f"a tensor of shape {shape_sizes} reaches outside its storage")
        return _Tensor(storage, offset, shape_sizes)


def _are_sizes(*values: object) -> bool:
    return all(
        isinstance(value, tuple) and all(isinstance(size, int) and size >= 0 for size in value) for value in values
    )


class _StateUnpickler(pickle.Unpickler):
    """Makes nothing but plain values, ordered dictionaries and descriptions of tensors."""

    _REBUILD: Final = _RebuildTensor()

    def find_class(self, module_name: str, global_name: str, /) -> object:
        if (module_name, global_name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module_name, global_name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._REBUILD
        if module_name == "torch" and global_name in _STORAGE_TYPES:
            return _StorageType(_STORAGE_TYPES[global_name])
        raise CheckpointError(f"the name {module_name}.{global_name} is not allowed in a checkpoint")

    def persistent_load(self, pid: object, /) -> _Storage:
        match pid:
            case ("storage", _StorageType() as kind, str() as key, str(), int() as count, None) if count >= 0:
                return _Storage(key, kind.dtype, count)
        raise CheckpointError("a storage is named by something else than its type, key, place and count")


def read_torch_checkpoint(path: Path, *, max_bytes: int = 512 * 2**20) -> dict[str, NDArray[Any]]:
    """The state dict of a checkpoint: name → array, read-only, in the file's own number types.

    Nothing in the file is run, and no class but ``OrderedDict`` is made. A pickle can still waste memory: check the
    file's digest first where it comes from elsewhere. Raises CheckpointError where the file is damaged, of another
    format, larger than ``max_bytes``, or names anything that a state dict has no need of; OSError where it cannot be
    read.
    """
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise CheckpointError(f"the checkpoint is larger than {max_bytes:,} bytes")
    stream = io.BytesIO(content)
    if _unpickle(stream) != _MAGIC or _unpickle(stream) != _PROTOCOL:
        raise CheckpointError("the file is no PyTorch checkpoint of the format before 1.6")
    machine = _unpickle(stream)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise CheckpointError("the checkpoint was written on a big-endian machine")
    tensors = _tensors(_unpickle(stream))
    keys = _unpickle(stream)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise CheckpointError("the list of storage keys is something else")
    numbers = _read_storages(stream, keys, {tensor.storage.key: tensor.storage for tensor in tensors.values()})
    return {name: _view(tensor, numbers[tensor.storage.key]) for name, tensor in tensors.items()}


def _unpickle(stream: IO[bytes]) -> object:
    """The next pickle of the stream."""
    try:
        return _StateUnpickler(stream).load()
    except CheckpointError:
        raise
    except _UNPICKLING_ERRORS as error:
        raise CheckpointError(f"the checkpoint is damaged: {error}") from error


def _tensors(state: object) -> dict[str, _Tensor]:
    if not isinstance(state, dict):
        raise CheckpointError("the state is no dictionary")
    for name, value in state.items():
        if not (isinstance(name, str) and isinstance(value, _Tensor)):
            raise CheckpointError(f"the state holds {name!r}, which is no named tensor")
    return dict(state)


def _read_storages(stream: io.BytesIO, keys: Sequence[str], storages: dict[str, _Storage]) -> dict[str, NDArray[Any]]:
    """The numbers of each storage, by key. Every count must be the one that the tensors were told of."""
    if set(keys) != storages.keys() or len(set(keys)) != len(keys):
        raise CheckpointError("the storages that follow are not those that the tensors name")
    content = stream.getbuffer()
    position = stream.tell()
    numbers: dict[str, NDArray[Any]] = {}
    for key in keys:
        storage = storages[key]
        end = position + 8 + storage.count * storage.dtype.itemsize
        if end > len(content):
            raise CheckpointError("the checkpoint is cut short")
        (count,) = struct.unpack_from("<q", content, position)
        if count != storage.count:
            raise CheckpointError(f"a storage of {storage.count} numbers says that it has {count}")
        numbers[key] = np.frombuffer(content[position + 8 : end].toreadonly(), dtype=storage.dtype)
        position = end
    if position != len(content):
        raise CheckpointError("something follows the last storage")
    return numbers


def _view(tensor: _Tensor, numbers: NDArray[Any]) -> NDArray[Any]:
    return numbers[tensor.offset : tensor.offset + math.prod(tensor.shape)].reshape(tensor.shape)
