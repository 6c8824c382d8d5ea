"""What each pickle opcode does on the machine: one function per opcode, its name is the opcode's name.

Missing by intent: INST, OBJ and NEWOBJ (they make instances of classes), EXT (a registry of further names), out-of-band
buffers, integers of more than 255 bytes, and the text opcodes of protocol 0, which torch never wrote.

Source: CPython's Lib/pickletools.py describes them all.
"""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict, defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from mytorch.serialization.machine import PickleMachine

__mytorch__ = True

MAX_MARKS = 1000  # open MARKs, which is how deeply tuples and batches nest; Python's own pickler stops at about this depth
DICTS = frozenset({dict, OrderedDict, defaultdict, Counter})


class Global:
    """One allowed global name: data if ``build`` is None, else something that REDUCE may call with checked arguments."""

    __slots__ = ("build", "name", "type")

    def __init__(self, name: str, build: Callable[[PickleMachine, tuple[Any, ...]], Any] | None = None, kind: Any = None) -> None:
        self.name = name
        self.build = build
        self.type = kind

    def __repr__(self) -> str:
        return f"<global {self.name}>"




def type_name(value: Any) -> str:
    """How an error names what it was given; the value itself may be huge, so it is not shown."""
    return value.name if type(value) is Global else type(value).__name__


def proto(m: PickleMachine) -> None:
    version = m.take(1)[0]
    if version > 5:
        m.refuse(f"unsupported pickle protocol: {version}")


def frame(m: PickleMachine) -> None:
    m.take(8)  # a hint for readers of streams; the bytes are all here


def stop(m: PickleMachine) -> None:
    """The end; ``load`` returns."""


def mark(m: PickleMachine) -> None:
    if len(m.marks) >= MAX_MARKS:
        m.refuse(f"containers nest deeper than {MAX_MARKS}")
    m.marks.append(m.stack)
    m.stack = []


def pop(m: PickleMachine) -> None:
    m.pop()


def pop_mark(m: PickleMachine) -> None:
    m.pop_mark()


def none(m: PickleMachine) -> None:
    m.stack.append(None)


def newtrue(m: PickleMachine) -> None:
    m.stack.append(True)


def newfalse(m: PickleMachine) -> None:
    m.stack.append(False)


def binint(m: PickleMachine) -> None:
    m.stack.append(struct.unpack("<i", m.take(4))[0])


def binint1(m: PickleMachine) -> None:
    m.stack.append(m.take(1)[0])


def binint2(m: PickleMachine) -> None:
    m.stack.append(struct.unpack("<H", m.take(2))[0])


def long1(m: PickleMachine) -> None:
    m.stack.append(int.from_bytes(m.take_sized("<B"), "little", signed=True))


def binfloat(m: PickleMachine) -> None:
    m.stack.append(struct.unpack(">d", m.take(8))[0])


def short_binunicode(m: PickleMachine) -> None:
    m.stack.append(m.text(m.take_sized("<B")))


def binunicode(m: PickleMachine) -> None:
    m.stack.append(m.text(m.take_sized("<I")))


def binunicode8(m: PickleMachine) -> None:
    m.stack.append(m.text(m.take_sized("<Q")))


def _python2_string(m: PickleMachine, raw: bytes) -> None:
    m.stack.append(raw if m.encoding == "bytes" else m.text(raw, m.encoding))


def short_binstring(m: PickleMachine) -> None:
    _python2_string(m, m.take_sized("<B"))


def binstring(m: PickleMachine) -> None:
    (count,) = struct.unpack("<i", m.take(4))
    if count < 0:
        m.refuse("a string of negative length")
    _python2_string(m, m.take(count))


def short_binbytes(m: PickleMachine) -> None:
    m.stack.append(m.take_sized("<B"))


def binbytes(m: PickleMachine) -> None:
    m.stack.append(m.take_sized("<I"))


def binbytes8(m: PickleMachine) -> None:
    m.stack.append(m.take_sized("<Q"))


def bytearray8(m: PickleMachine) -> None:
    m.stack.append(bytearray(m.take_sized("<Q")))


def empty_tuple(m: PickleMachine) -> None:
    m.stack.append(())


def empty_list(m: PickleMachine) -> None:
    m.stack.append([])


def empty_dict(m: PickleMachine) -> None:
    m.stack.append({})


def empty_set(m: PickleMachine) -> None:
    m.stack.append(set())


def _tuple_of(m: PickleMachine, count: int) -> None:
    if len(m.stack) < count:
        m.refuse("stack underflow")
    m.stack[-count:] = [tuple(m.stack[-count:])]


def tuple1(m: PickleMachine) -> None:
    _tuple_of(m, 1)


def tuple2(m: PickleMachine) -> None:
    _tuple_of(m, 2)


def tuple3(m: PickleMachine) -> None:
    _tuple_of(m, 3)


def tuple_(m: PickleMachine) -> None:
    items = m.pop_mark()
    m.stack.append(tuple(items))


def _extend(m: PickleMachine, items: list[Any]) -> None:
    target = m.top()
    if type(target) is not list:
        m.refuse(f"can only append to a list, got {type_name(target)}")
    target.extend(items)


def append(m: PickleMachine) -> None:
    _extend(m, [m.pop()])


def appends(m: PickleMachine) -> None:
    _extend(m, m.pop_mark())


def setitem(m: PickleMachine) -> None:
    value, key = m.pop(), m.pop()
    m.set_items(m.top(), [key, value])


def setitems(m: PickleMachine) -> None:
    items = m.pop_mark()
    m.set_items(m.top(), items)


def additems(m: PickleMachine) -> None:
    items = m.pop_mark()
    target = m.top()
    if type(target) is not set:
        m.refuse(f"can only add to a set, got {type_name(target)}")
    for item in items:
        m.check_key(item)
    target.update(items)


def frozenset_(m: PickleMachine) -> None:
    items = m.pop_mark()
    for item in items:
        m.check_key(item)
    m.stack.append(frozenset(items))


def global_(m: PickleMachine) -> None:
    module = m.take_line()
    m.find(module, m.take_line())


def stack_global(m: PickleMachine) -> None:
    name, module = m.pop(), m.pop()
    m.find(module, name)


def reduce(m: PickleMachine) -> None:
    args, function = m.pop(), m.pop()
    if type(function) is not Global or function.build is None:
        m.refuse(f"not something to call: {type_name(function)}")
    if type(args) is not tuple:
        m.refuse(f"arguments must be a tuple, got {type_name(args)}")
    m.stack.append(function.build(m, args))


def build(m: PickleMachine) -> None:
    state = m.pop()
    target = m.top()
    builder = m.builders.get(type(target))
    if builder is None:
        m.refuse(f"no state can be given to an object of type {type_name(target)}")
    builder(m, target, state)


def binpersid(m: PickleMachine) -> None:
    m.stack.append(m.persistent_load(m, m.pop()))


def _get(m: PickleMachine, index: int) -> None:
    if index not in m.memo:
        m.refuse(f"nothing was stored under number {index}")
    m.stack.append(m.memo[index])


def binget(m: PickleMachine) -> None:
    _get(m, m.take(1)[0])


def long_binget(m: PickleMachine) -> None:
    _get(m, struct.unpack("<I", m.take(4))[0])


def binput(m: PickleMachine) -> None:
    m.memo[m.take(1)[0]] = m.top()


def long_binput(m: PickleMachine) -> None:
    m.memo[struct.unpack("<I", m.take(4))[0]] = m.top()


def memoize(m: PickleMachine) -> None:
    m.memo[len(m.memo)] = m.top()


STOP = ord(".")
STEPS: dict[int, Callable[[PickleMachine], Any]] = {
    0x80: proto, 0x95: frame, STOP: stop, ord("("): mark, ord("0"): pop, ord("1"): pop_mark,
    ord("N"): none, 0x88: newtrue, 0x89: newfalse, ord("J"): binint, ord("K"): binint1, ord("M"): binint2, 0x8A: long1,
    ord("G"): binfloat, 0x8C: short_binunicode, ord("X"): binunicode, 0x8D: binunicode8,
    ord("U"): short_binstring, ord("T"): binstring, ord("C"): short_binbytes, ord("B"): binbytes, 0x8E: binbytes8,
    0x96: bytearray8,
    ord(")"): empty_tuple, 0x85: tuple1, 0x86: tuple2, 0x87: tuple3, ord("t"): tuple_,
    ord("]"): empty_list, ord("a"): append, ord("e"): appends, ord("}"): empty_dict, ord("s"): setitem, ord("u"): setitems,
    0x8F: empty_set, 0x90: additems, 0x91: frozenset_,
    ord("c"): global_, 0x93: stack_global, ord("R"): reduce, ord("b"): build, ord("Q"): binpersid,
    ord("h"): binget, ord("j"): long_binget, ord("q"): binput, ord("r"): long_binput, 0x94: memoize,
}
