"""save and load in torch's own file format, both ways, without ever running code from a file.

``save`` writes what ``torch.load(weights_only=True)`` reads; ``load`` reads what ``torch.save`` writes, as far as it is
data: tensors, parameters, containers, numbers, strings, sizes, devices and dtypes. A file that names anything else is
refused, whatever the arguments: the reader is a small machine of its own (machine.py) that has no way to import a module
or to call a function that is not in a fixed table (rebuild.py).

The zip format is read and written by archive.py, the format before torch 1.6 by legacy.py.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import BinaryIO

__mytorch__ = True

__all__ = ["get_unsafe_globals_in_checkpoint", "load", "save"]

_ENCODINGS = {"utf-8": "utf-8", "utf8": "utf-8", "ascii": "ascii", "latin1": "latin-1", "latin-1": "latin-1", "bytes": "bytes"}
_PROTOCOLS = range(2, 6)


def save(obj: object, f: Any, pickle_module: Any = None, pickle_protocol: int = 2, _use_new_zipfile_serialization: bool = True,
         _disable_byteorder_record: bool = False) -> None:
    """Save an object in torch's file format: state_dicts, tensors, and containers of them.

    Tensors that share memory share it in the file, which holds all of the memory that a saved view looks into (as with
    torch; save ``view.clone()`` for the view alone). Gradients, hooks and the graph are not saved.

    A path is written atomically: the data goes to a temporary file in the same folder, is synced to the disk and takes
    the name at the end, so a crash or a full disk never leaves a broken file behind, nor costs the old one.

    Args:
        obj: None, bool, int, float, complex, str, bytes, bytearray, tuple, list, dict, OrderedDict, defaultdict, Counter, set,
            frozenset, Tensor, Parameter, Size, device, dtype, nested as you like.
        f: path, or an object with ``write``.
        pickle_module: None or Python's ``pickle``; the writer is this package's own in both cases.
        pickle_protocol: 2 to 5; the file has protocol 2 for all of them, which every torch reads.
        _use_new_zipfile_serialization: False writes the format before torch 1.6.
        _disable_byteorder_record: leave the name of the byte order out.

    Raises:
        PicklingError: for an object that is not in the list above.
        NotImplementedError: for a whole Module or Optimizer: save its ``state_dict()``.
        RuntimeError: for two tensors that view the same memory as different dtypes; if the folder does not exist.
    """
    if pickle_module is not None:
        _require_pickle("save", pickle_module)
    if pickle_protocol not in _PROTOCOLS:
        raise ValueError(f"pickle protocol must be 2, 3, 4 or 5, got {pickle_protocol}")
    if isinstance(f, (str, os.PathLike)):
        from mytorch.serialization.atomic import atomic_writer

        with atomic_writer(f) as file:
            _write(obj, file, _use_new_zipfile_serialization, not _disable_byteorder_record)
    elif hasattr(f, "write"):
        _write(obj, f, _use_new_zipfile_serialization, not _disable_byteorder_record)
    else:
        raise AttributeError("expected 'f' to be string, path, or a file-like object with a 'write' attribute, "
                             f"got {type(f).__name__}")


def _write(obj: object, file: BinaryIO, as_zip: bool, byteorder: bool) -> None:
    from mytorch.serialization.pickle_writer import PickleWriter, StorageTable

    storages = StorageTable()
    pickled = PickleWriter(storages, legacy=not as_zip).dump(obj)
    if as_zip:
        from mytorch.serialization.archive import write_archive

        write_archive(file, pickled, storages.blocks, byteorder)
    else:
        from mytorch.serialization.legacy import write_legacy

        write_legacy(file, pickled, lambda data: PickleWriter(StorageTable()).dump(data), storages.typed_blocks())


def load(f: Any, map_location: Any = None, pickle_module: Any = None, *, weights_only: bool | None = None,
         mmap: bool | None = None, **pickle_load_args: Any) -> Any:
    """Load an object that torch.save or mytorch.save wrote.

    No code runs, whatever the file holds: tensors, parameters, containers, numbers, strings, sizes, devices and dtypes are
    loaded, any other type is refused by name. That is so with ``weights_only=False`` too, which changes nothing here: to
    get a whole pickled Module, load it with torch and save its ``state_dict()``.

    Tensors that shared memory when they were saved share it again. Memory use is linear in the size of the file.

    Args:
        f: path, or a seekable object with ``read`` (it may stand past 0).
        map_location: device, str, dict or function of (storage, location): where storages go. All go to the CPU, so
            ``"cpu"`` is the one useful device: it loads files saved from a GPU.
        pickle_module: None; or Python's ``pickle`` with ``weights_only=False``, which is ignored.
        weights_only: accepted as torch has it.
        mmap: map the file (a path) and read pages of it when they are used; checksums are then not verified.
        pickle_load_args: ``encoding``, how byte strings written by Python 2 become str (default "utf-8").

    Raises:
        UnpicklingError: (``pickle.UnpicklingError``) for a type that no file may hold, naming it, or a damaged pickle.
        RuntimeError: for a damaged archive; for a storage saved from CUDA if ``map_location`` does not say where to put it;
            as NotImplementedError for torch's objects without counterpart: sparse, quantized and nested tensors, TorchScript.
        EOFError: for an empty file, or one that ends within a pickle.
        FileNotFoundError, TypeError, ValueError: for a wrong ``f`` or other argument.
    """
    encoding = _check_load_arguments(pickle_module, weights_only, pickle_load_args)
    from mytorch.serialization.location import restorer

    restore = restorer(map_location)
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            return _read(file, restore, bool(mmap), encoding)
    if mmap:
        raise ValueError("f must be a file path in order to use the mmap argument")
    for need in ("read", "seek", "tell"):
        if not hasattr(f, need):
            raise AttributeError(f"'{type(f).__name__}' object has no attribute '{need}'. You can only torch.load from a file "
                                 "that is seekable. Please pre-load the data into a buffer like io.BytesIO and try to load from "
                                 "it instead.")
    return _read(f, restore, False, encoding)


def _check_load_arguments(pickle_module: Any, weights_only: bool | None, pickle_load_args: dict[str, Any]) -> str:
    if pickle_module is not None:
        if weights_only is None or weights_only:
            raise RuntimeError("Can not safely load weights when explicit pickle_module is specified; leave pickle_module out")
        _require_pickle("load", pickle_module)
    encoding = pickle_load_args.pop("encoding", "utf-8")
    if pickle_load_args:
        raise NotImplementedError(f"load: {', '.join(sorted(pickle_load_args))} not supported; leave it out")
    if encoding not in _ENCODINGS:
        raise NotImplementedError(f"load: encoding={encoding!r} is not supported; expected one of {', '.join(_ENCODINGS)}")
    return _ENCODINGS[encoding]


def _require_pickle(function: str, module: Any) -> None:
    name = getattr(module, "__name__", type(module).__name__)
    if name != "pickle":
        raise NotImplementedError(f"{function}: pickle_module={name!r} is not supported, no other module reads or writes files; "
                                  "leave it out")


def _read(file: BinaryIO, restore: Any, mapped: bool, encoding: str) -> Any:
    from mytorch.serialization import legacy
    from mytorch.serialization.archive import MAGIC, Archive

    start = file.tell()
    head = file.read(len(legacy.MAGIC))
    file.seek(start)
    if head.startswith(MAGIC):
        from mytorch.serialization.zip_reader import load_archive

        return load_archive(Archive(file, mapped), restore, encoding)
    if mapped:
        raise RuntimeError("mmap can only be used with files saved with `torch.save(_use_new_zipfile_serialization=True)`, "
                           "please torch.save your checkpoint with this option in order to use mmap.")
    if not head:
        raise EOFError("ran out of input: the file is empty")
    if not head.startswith(legacy.MAGIC):
        from pickle import UnpicklingError

        kind = RuntimeError if head.startswith(b"\x80") else UnpicklingError  # a plain pickle, or no weights at all
        raise kind(f"Invalid magic number; corrupt file? It starts with {head[:8]!r}: not a zip archive of weights, nor torch's "
                   "format before 1.6. Tar files of torch 0.1 and plain pickles are not read; convert them with torch")
    reader = legacy.LegacyFile(file.read(), restore, encoding)
    result = reader.load()
    file.seek(start + reader.position)  # several objects may follow each other in one stream
    return result


def get_unsafe_globals_in_checkpoint(f: Any) -> list[str]:
    """The names in a file that ``load`` would refuse, without running anything.

    Args:
        f: path or seekable object of a zip archive that torch.save wrote.

    Raises:
        ValueError: if it is not one.
    """
    from mytorch.serialization.archive import MAGIC, Archive
    from mytorch.serialization.zip_reader import unsafe_globals

    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            return get_unsafe_globals_in_checkpoint(file)
    start = f.tell()
    if f.read(len(MAGIC)) != MAGIC:
        raise ValueError("Expected input to be a checkpoint returned by torch.save")
    f.seek(start)
    return unsafe_globals(Archive(f))
