"""A pickle opcode machine that builds data and nothing else.

A pickle is a program for a small stack machine; the stock machine may import any module and call any function in it.
This one has no import and no attribute look-up: a global name is a key into a fixed table, a call is an entry of that
table which checks its own arguments, and every opcode checks the types it works on. What is not in the table is refused;
there is no second, more trusting way to read a file.

What the limits hold: every length is compared with the bytes that are there before anything is allocated, every opcode
makes at most one small object, and calls that copy (bytes, sets, dicts) draw from a budget that is linear in the
length of the pickle. So memory stays linear in the size of the file, whatever the file says.

The opcodes themselves are in opcodes.py, the table of allowed names in rebuild.py.
"""

from __future__ import annotations

import struct
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, NoReturn

from mytorch.serialization.opcodes import DICTS, STEPS, STOP, type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__mytorch__ = True

MAX_STACK = 1 << 24  # objects on the stack at one time
MAX_NAME = 512  # bytes in the module or in the name of a global
MAX_KEY_PARTS = 1000  # a tuple used as a key is hashed as a tree: 60 levels of (t, t) would take 2**60 steps
COPY_BUDGET = 1 << 16  # bytes and elements that calls may copy, on top of COPY_FACTOR per byte of the file
COPY_FACTOR = 4

PLAIN_KEY_TYPES = frozenset({str, bytes, int, float, complex, bool, type(None)})


class PickleMachine:
    """Runs one pickle over the fixed table ``globals_``.

    Args:
        data: the bytes; nothing past their end is ever read.
        globals_: (module, name) -> what the name stands for: a Global, or plain data such as a dtype; a str says why torch's
            object of this name has no counterpart here.
        persistent_load: what BINPERSID means; it must check the id itself.
        builders: type -> what BUILD does to an object of exactly this type.
        key_types: further types that may be keys of dicts and members of sets.
        file_size: bytes of the whole file, which the budget for copies is measured by.
        position: where in ``data`` the pickle starts; after ``load`` it is where the pickle ended.
        encoding: how the byte strings of Python 2 become str; "bytes" leaves them alone.
    """

    def __init__(self, data: bytes | memoryview, globals_: Mapping[tuple[str, str], Any],
                 persistent_load: Callable[[PickleMachine, Any], Any],
                 builders: Mapping[type, Callable[[PickleMachine, Any, Any], None]], key_types: frozenset[type] = frozenset(),
                 file_size: int = 0, position: int = 0, encoding: str = "utf-8") -> None:
        self.data = memoryview(data).cast("B")
        self.globals = globals_
        self.persistent_load = persistent_load
        self.builders = builders
        self.key_types = PLAIN_KEY_TYPES | key_types
        self.encoding = encoding
        self.position = position
        self.opcode_at = position
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.budget = COPY_BUDGET + COPY_FACTOR * max(len(self.data) - position, file_size)

    def load(self) -> Any:
        """The object that the pickle describes.

        Raises:
            UnpicklingError: if it names a global that is not in the table, or is damaged.
            EOFError: if it ends before its STOP opcode.
        """
        while True:
            self.opcode_at = self.position
            if self.position >= len(self.data):
                raise EOFError(f"ran out of input: the pickle has no STOP opcode within its {len(self.data)} bytes")
            code = self.data[self.position]
            self.position += 1
            step = STEPS.get(code)
            if step is None:
                self.refuse("the opcode is unknown or does more than describe data")
            step(self)
            if code == STOP:
                return self._result()
            if len(self.stack) > MAX_STACK:
                self.refuse(f"more than {MAX_STACK} objects on the stack")

    def _result(self) -> Any:
        if self.marks or len(self.stack) != 1:
            self.refuse(f"expected one object when the pickle stops, got {len(self.stack)} and {len(self.marks)} open marks")
        return self.stack[0]

    # ---- what steps and table entries are made of ------------------------------------------------------------------------

    def refuse(self, why: str) -> NoReturn:
        """Raise UnpicklingError that says where in the pickle the machine stands."""
        code = self.data[self.opcode_at]
        name = STEPS[code].__name__.strip("_").upper() if code in STEPS else f"0x{code:02x}"
        raise UnpicklingError(f"{why} (opcode {name} at byte {self.opcode_at} of the pickle)")

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes; they are known to exist before they are copied."""
        end = self.position + count
        if end > len(self.data):
            self.refuse(f"pickle data was truncated: {count} bytes announced, {len(self.data) - self.position} left")
        taken = bytes(self.data[self.position:end])
        self.position = end
        return taken

    def take_sized(self, size_format: str) -> bytes:
        """Bytes preceded by their number."""
        (count,) = struct.unpack(size_format, self.take(struct.calcsize(size_format)))
        return self.take(count)

    def take_line(self) -> str:
        """Text up to a newline, as GLOBAL writes names."""
        window = bytes(self.data[self.position:self.position + MAX_NAME + 1])
        length = window.find(b"\n")
        if length < 0:
            self.refuse(f"no newline within {MAX_NAME} bytes after the name of a global")
        self.position += length + 1
        return self.text(window[:length])

    def text(self, raw: bytes, encoding: str = "utf-8") -> str:
        try:
            # pickle writes lone surrogates this way
            return raw.decode(encoding, "surrogatepass" if encoding == "utf-8" else "strict")
        except UnicodeDecodeError as error:
            self.refuse(f"a string is not {encoding}: {error.reason} at its byte {error.start}")

    def pop(self) -> Any:
        if not self.stack:
            self.refuse("stack underflow")
        return self.stack.pop()

    def top(self) -> Any:
        if not self.stack:
            self.refuse("stack underflow")
        return self.stack[-1]

    def pop_mark(self) -> list[Any]:
        """The objects pushed since the last MARK."""
        if not self.marks:
            self.refuse("no MARK is open")
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def charge(self, count: int) -> None:
        """Take ``count`` copied elements from the budget: a memoised string of a megabyte copied by 8 bytes of pickle adds up."""
        self.budget -= count
        if self.budget < 0:
            self.refuse("the pickle copies far more data than it holds")

    def check_key(self, key: Any) -> None:
        """Refuse what cannot be, or should not be, hashed: keys are plain values and small tuples of them."""
        todo = [key]
        parts = 0
        while todo:
            item = todo.pop()
            parts += 1
            if isinstance(item, tuple):
                if parts + len(todo) + len(item) > MAX_KEY_PARTS:
                    self.refuse(f"a tuple used as a key has more than {MAX_KEY_PARTS} parts")
                todo.extend(item)
            elif type(item) not in self.key_types:
                self.refuse(f"a key of a dict or member of a set must be a plain value or a tuple of them, got {type_name(item)}")

    def check_arguments(self, name: str, args: tuple[Any, ...], *types: Any, optional: int = 0) -> None:
        """Refuse a call whose arguments differ from ``types`` in number or exact type; the last ``optional`` may be left out."""
        if not len(types) - optional <= len(args) <= len(types):
            self.refuse(f"{name} takes {len(types)} arguments, got {len(args)}")
        for position, (given, expected) in enumerate(zip(args, types, strict=False)):
            if expected is not None and type(given) not in (expected if isinstance(expected, tuple) else (expected,)):
                wanted = " or ".join(t.__name__ for t in (expected if isinstance(expected, tuple) else (expected,)))
                self.refuse(f"{name}: argument {position} must be {wanted}, got {type_name(given)}")

    def set_items(self, target: Any, items: list[Any]) -> None:
        if type(target) not in DICTS:
            self.refuse(f"items can only be set in a dict, OrderedDict, defaultdict or Counter, got {type_name(target)}")
        if len(items) % 2:
            self.refuse("an odd number of keys and values")
        for i in range(0, len(items), 2):
            self.check_key(items[i])
            target[items[i]] = items[i + 1]

    def find(self, module: Any, name: Any) -> None:
        """Push what the table says about a global; the only place where names of a file are looked at."""
        if type(module) is not str or type(name) is not str:
            self.refuse(f"the name of a global must be two strings, got {type_name(module)} and {type_name(name)}")
        if len(module) > MAX_NAME or len(name) > MAX_NAME:
            self.refuse(f"the name of a global is longer than {MAX_NAME} characters")
        if (module, name) not in self.globals:
            full = f"{module}.{name}"
            shown = full if full.isprintable() else ascii(full)
            self.refuse(f"Unsupported global: {shown} is not among the types that a weights file may hold. mytorch.load never "
                        "runs code from a file, with weights_only=False neither: save state_dict() and plain containers "
                        "instead of whole objects, or convert the file with the program that wrote it")
        found = self.globals[module, name]
        if isinstance(found, str):
            raise NotImplementedError(f"{module}.{name} in the file: {found}")
        self.stack.append(found)
