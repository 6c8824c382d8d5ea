"""Files for these tests: objects through a file, and hostile pickles and archives put together by hand."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import pytest

from mytorch import dtypes
from mytorch.serialization import archive, load, save
from mytorch.serialization.rebuild import allowed_globals
from mytorch.tensor import Tensor

DATA = Path(__file__).parent.parent / "data"
NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4)


def through_file(obj: object, **options: Any) -> Any:
    buffer = io.BytesIO()
    save(obj, buffer, **options)
    buffer.seek(0)
    return load(buffer)


def written(obj: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    save(obj, buffer, **options)
    return buffer.getvalue()


def sample(dtype: dtypes.dtype) -> np.ndarray[Any, Any]:
    return dtypes.cast(np.array([0, 1, 1], np.float32), dtype.np)


def same_memory(a: Tensor, b: Tensor) -> bool:
    return np.shares_memory(a._array, b._array)


DOCUMENTED = (UnpicklingError, RuntimeError, EOFError)


# ---- pickles by hand -----------------------------------------------------------------------------------------------------------


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def integer(value: int) -> bytes:
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def name(path: str) -> bytes:
    module, _, attribute = path.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def items(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def call(path: str, *arguments: bytes) -> bytes:
    return name(path) + items(*arguments) + b"R"


def storage(kind: str = "torch.FloatStorage", key: str = "0", numel: int = 12, place: str = "cpu") -> bytes:
    return items(text("storage"), name(kind), text(key), text(place), integer(numel)) + b"Q"


def tensor(offset: int = 0, size: tuple[int, ...] = (3, 4), stride: tuple[int, ...] = (4, 1), grad: bytes = b"\x89",
           hooks: bytes = call("collections.OrderedDict"), extra: bytes = b"", of: bytes | None = None) -> bytes:
    return call("torch._utils._rebuild_tensor_v2", of or storage(), integer(offset), items(*map(integer, size)),
                items(*map(integer, stride)), grad, hooks, extra)


def packed(program: bytes, storages: tuple[np.ndarray[Any, Any], ...] = (NUMBERS,)) -> bytes:
    buffer = io.BytesIO()
    archive.write_archive(buffer, b"\x80\x02" + program + b".", storages)
    return buffer.getvalue()


def run(program: bytes, *storages: np.ndarray[Any, Any]) -> Any:
    return load(io.BytesIO(packed(program, storages or (NUMBERS,))))


def refused(program: bytes, message: str, *storages: np.ndarray[Any, Any]) -> None:
    with pytest.raises(UnpicklingError, match=message):
        run(program, *storages)


def peak_memory(data: bytes) -> int:
    """Bytes allocated at most while loading, whatever the outcome."""
    allowed_globals()
    tracemalloc.start()
    try:
        load(io.BytesIO(data))
    except DOCUMENTED:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak


PKL = b"\x80\x02]."


def zipped(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as made:
        for path, data in members:
            made.writestr(path, data)
    return buffer.getvalue()


def damaged(data: bytes, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        load(io.BytesIO(data))
