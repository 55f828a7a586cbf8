"""The pickle in a PyTorch file, read without running it: which tensors it describes.

A pickle is a program for a stack machine, which may import and call anything. This machine knows the
instructions that ``torch.save`` writes, and carries out only these: it makes dictionaries, lists and tuples,
and notes where tensors are. It imports and calls nothing: an object of any other class is an
:class:`~ckptfmt.converting.sources.torch.values.Opaque`, whose parts are all that is known.

Source: ``pickletools.py`` of Python.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from ckptfmt.converting.sources.torch.values import (
    Global,
    Opaque,
    call,
    exactly,
    key_of,
    known_name,
    storage_of,
    why_unreadable,
)
from ckptfmt.errors import CkptfmtError, CorruptError, TruncatedError, UnsupportedError

_MARK = object()


def read_torch_pickle(data: bytes) -> Any:  # noqa: ANN401  (whatever was saved)
    """Return what a pickle describes: dictionaries, lists, numbers and so on, and :class:`TorchTensor`.

    Raises CorruptError for what is not a pickle, UnsupportedError for instructions that ``torch.save`` does
    not write, with offsets in it.
    """
    machine = _Machine(data)
    try:
        return machine.run()
    except CkptfmtError as error:
        error.offset = machine.opcode_at
        raise
    except (IndexError, KeyError, TypeError, ValueError) as error:
        # An instruction takes more than there is on the stack, or something of another kind.
        raise CorruptError(
            f"instruction {data[machine.opcode_at : machine.opcode_at + 1]!r} does not fit: {error}",
            offset=machine.opcode_at,
        ) from None


class _Machine:
    """The stack, the memo, and where the program is."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._pos = 0
        self.opcode_at = 0
        """Offset of the current instruction."""
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:  # noqa: ANN401
        data, instructions = self._data, _INSTRUCTIONS
        while self._pos < len(data):
            self.opcode_at = self._pos
            code = data[self._pos]
            self._pos += 1
            if code == _STOP:
                return self._stack.pop()
            instruction = instructions.get(code)
            if instruction is None:
                raise UnsupportedError(f"instruction {bytes([code])!r}, which torch.save does not write")
            instruction(self)
        raise TruncatedError("pickle", wanted=self._pos + 1, available=self._pos)

    # --- operands ----------------------------------------------------------------------------------------

    def _take(self, size: int) -> bytes:
        end = self._pos + size
        if end > len(self._data):
            raise TruncatedError("operand", wanted=size, available=len(self._data) - self._pos)
        taken = self._data[self._pos : end]
        self._pos = end
        return taken

    def _number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "little")

    def _line(self) -> str:
        end = self._data.find(b"\n", self._pos)
        if end < 0:
            raise TruncatedError("line", wanted=1, available=0)
        line = self._take(end - self._pos).decode("utf-8", "replace")
        self._pos = end + 1
        return line

    def _since_mark(self) -> list[Any]:
        stack = self._stack
        at = len(stack) - 1
        while stack[at] is not _MARK:  # IndexError without a mark
            at -= 1
        items = stack[at + 1 :]
        del stack[at:]
        return items

    # --- instructions ------------------------------------------------------------------------------------

    def skip(self, size: int) -> None:
        self._take(size)

    def push(self, value: object) -> None:
        self._stack.append(value)

    def push_number(self, size: int) -> None:
        self._stack.append(self._number(size))

    def push_signed(self) -> None:
        self._stack.append(int.from_bytes(self._take(4), "little", signed=True))

    def push_long(self, width: int) -> None:
        self._stack.append(int.from_bytes(self._take(self._number(width)), "little", signed=True))

    def push_float(self) -> None:
        self._stack.append(struct.unpack(">d", self._take(8))[0])

    def push_text(self, width: int) -> None:
        self._stack.append(self._take(self._number(width)).decode("utf-8", "surrogatepass"))

    def push_bytes(self, width: int) -> None:
        self._stack.append(self._take(self._number(width)))

    def put(self, width: int) -> None:
        self._memo[self._number(width)] = self._stack[-1]

    def memoize(self) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def get(self, width: int) -> None:
        self._stack.append(self._memo[self._number(width)])

    def tuple_of(self, size: int) -> None:
        items = tuple(self._stack[-size:])
        if len(items) != size:
            raise IndexError("the stack is empty")
        del self._stack[-size:]
        self._stack.append(items)

    def tuple_since_mark(self) -> None:
        self._stack.append(tuple(self._since_mark()))

    def append(self) -> None:
        item = self._stack.pop()
        self._list().append(item)

    def appends(self) -> None:
        items = self._since_mark()
        self._list().extend(items)

    def _list(self) -> list[Any]:
        target = self._stack[-1]
        parts: list[Any] = target.parts if type(target) is Opaque else exactly(list, target)
        return parts

    def frozen_set(self) -> None:
        self._stack.append(Opaque(why_unreadable("builtins.frozenset"), self._since_mark()))

    def set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._put([key, value])

    def set_items(self) -> None:
        self._put(self._since_mark())

    def _put(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is Opaque:
            target.parts.extend(items)
            return
        exactly(dict, target)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[key_of(key)] = value

    def name(self) -> None:
        self._stack.append(known_name(Global(self._line(), self._line())))

    def name_of_stack(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._stack.append(known_name(Global(exactly(str, module), exactly(str, name))))

    def storage(self) -> None:
        self._stack.append(storage_of(self._stack.pop()))

    def call(self) -> None:
        arguments = exactly(tuple, self._stack.pop())
        self._stack.append(call(self._stack.pop(), arguments))

    def new_object(self, *, has_keywords: bool = False) -> None:
        keywords = exactly(dict, self._stack.pop()) if has_keywords else {}
        arguments, kind = exactly(tuple, self._stack.pop()), self._stack.pop()
        self._stack.append(Opaque(why_unreadable(exactly(Global, kind)), arguments, keywords))

    def set_state(self) -> None:
        """Pass over the attributes of a dictionary, which do not change what is in it."""
        state = self._stack.pop()
        target = self._stack[-1]
        if type(target) is Opaque:
            target.parts.append(state)
        else:
            exactly(dict, target)


_STOP = ord(".")

_INSTRUCTIONS: dict[int, Callable[[_Machine], None]] = {
    ord(code): instruction
    for code, instruction in {
        "\x80": lambda m: m.skip(1),  # the protocol
        "\x95": lambda m: m.skip(8),  # the size of a frame
        "(": lambda m: m.push(_MARK),
        "}": lambda m: m.push({}),
        "]": lambda m: m.push([]),
        ")": lambda m: m.push(()),
        "N": lambda m: m.push(None),
        "\x88": lambda m: m.push(True),
        "\x89": lambda m: m.push(False),
        "K": lambda m: m.push_number(1),
        "M": lambda m: m.push_number(2),
        "J": _Machine.push_signed,
        "\x8a": lambda m: m.push_long(1),
        "\x8b": lambda m: m.push_long(4),
        "G": _Machine.push_float,
        "\x8c": lambda m: m.push_text(1),
        "X": lambda m: m.push_text(4),
        "\x8d": lambda m: m.push_text(8),
        "C": lambda m: m.push_bytes(1),
        "B": lambda m: m.push_bytes(4),
        "\x8e": lambda m: m.push_bytes(8),
        "\x96": lambda m: m.push_bytes(8),
        "\x8f": lambda m: m.push(Opaque(why_unreadable("builtins.set"))),
        "\x90": _Machine.appends,
        "\x91": _Machine.frozen_set,
        "q": lambda m: m.put(1),
        "r": lambda m: m.put(4),
        "\x94": _Machine.memoize,
        "h": lambda m: m.get(1),
        "j": lambda m: m.get(4),
        "\x85": lambda m: m.tuple_of(1),
        "\x86": lambda m: m.tuple_of(2),
        "\x87": lambda m: m.tuple_of(3),
        "t": _Machine.tuple_since_mark,
        "a": _Machine.append,
        "e": _Machine.appends,
        "s": _Machine.set_item,
        "u": _Machine.set_items,
        "c": _Machine.name,
        "\x93": _Machine.name_of_stack,
        "Q": _Machine.storage,
        "R": _Machine.call,
        "\x81": _Machine.new_object,
        "\x92": lambda m: m.new_object(has_keywords=True),
        "b": _Machine.set_state,
    }.items()
}
"""The instructions that ``torch.save`` writes, in any protocol."""
