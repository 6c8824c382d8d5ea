"""Loads the object in one of torch's zip archives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mytorch.serialization.machine import PickleMachine
from mytorch.serialization.rebuild import BUILDERS, KEY_TYPES, Storage, allowed_globals, check_storage_id, is_foreign

if TYPE_CHECKING:
    from collections.abc import Callable

    from mytorch.serialization.archive import Archive

__mytorch__ = True


def load_archive(archive: Archive, restore: Callable[[Storage, str], Storage], encoding: str) -> Any:
    """Run data.pkl; its storages are read when it first names them, at the size that their members have.

    Raises:
        UnpicklingError, EOFError: for a damaged pickle or one that names what no file may hold.
        RuntimeError: for a damaged archive; NotImplementedError for TorchScript, which is a program.
    """
    if "constants.pkl" in archive:
        raise NotImplementedError("load: this is a TorchScript archive, which is a program and not data; "
                                  "save the state_dict() of the loaded module with torch")
    byteorder = archive.read("byteorder") if "byteorder" in archive else b"little"
    if byteorder not in (b"little", b"big"):
        raise RuntimeError(f"Unknown endianness type: {byteorder[:20]!r}; expected b'little' or b'big'")
    foreign = is_foreign(byteorder.decode())
    storages: dict[str, Storage] = {}

    def persistent_load(m: PickleMachine, pid: Any) -> Storage:
        dtype, key, location, nbytes = check_storage_id(m, pid, 5)
        name = f"data/{key}"
        if name not in archive:
            m.refuse(f"the archive has no storage {key[:80]!r}")
        if archive.size(name) != nbytes:
            m.refuse(f"storage {key[:80]!r} has {archive.size(name)} bytes, the pickle claims another number")
        if key not in storages:
            storages[key] = restore(Storage(archive.storage(name), dtype, foreign), location)
        if storages[key].dtype is not dtype:
            m.refuse(f"storage {key[:80]!r} is described with two dtypes")
        return storages[key]

    return PickleMachine(archive.read("data.pkl"), allowed_globals(), persistent_load, BUILDERS, KEY_TYPES,
                         file_size=archive.file_size, encoding=encoding).load()


def unsafe_globals(archive: Archive) -> list[str]:
    """Names of globals in data.pkl outside the table, sorted.

    Raises:
        UnpicklingError: if the pickle is damaged.
    """
    from pickle import UnpicklingError
    from pickletools import genops

    known = {f"{module}.{name}" for (module, name), found in allowed_globals().items() if not isinstance(found, str)}
    named: set[str] = set()
    strings: list[str] = []
    try:
        for opcode, argument, _ in genops(archive.read("data.pkl")):
            if opcode.name == "GLOBAL":
                named.add(str(argument).replace(" ", ".", 1))
            elif opcode.name == "STACK_GLOBAL":
                named.add(".".join(strings[-2:]))
            elif isinstance(argument, str):
                strings = [*strings[-1:], argument]
    except ValueError as error:
        raise UnpicklingError(f"the pickle is damaged: {error}") from None
    return sorted(named - known)
