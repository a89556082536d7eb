"""A small assembler for classic BPF, as far as a seccomp filter needs it. Knows no system call.

A program is a list of items: a `Label` marks a place, an `Op` jumps to labels by their identity. The
kernel only knows forward jumps, conditional ones up to 255 instructions (linux/filter.h, seccomp(2)).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS: a word of struct seccomp_data at offset k
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
JUMP = 0x05  # BPF_JMP | BPF_JA
JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
JUMP_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K, unsigned
RETURN = 0x06  # BPF_RET | BPF_K

_MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS
_MAX_BRANCH = 255  # the offset of a conditional jump is one byte


class Label:
    """A place in a program, known by its identity."""


@dataclass(frozen=True, slots=True)
class Op:
    """One instruction. `yes` and `no` say where a jump goes; None: on to the next instruction."""

    code: int
    k: int = 0
    yes: Label | None = None
    no: Label | None = None


Item = Op | Label


def assemble(items: Sequence[Item]) -> bytes:
    """Resolve labels and return the array of `struct sock_filter` that the kernel takes.

    Raises ValueError for a program that the kernel would refuse: too long, or a branch too far or backward.
    """
    places: dict[Label, int] = {}
    ops: list[Op] = []
    for item in items:
        if isinstance(item, Label):
            places[item] = len(ops)
        else:
            ops.append(item)
    if len(ops) > _MAX_INSTRUCTIONS:
        raise ValueError(f"a filter of {len(ops)} instructions; the kernel takes {_MAX_INSTRUCTIONS}")
    return b"".join(_encode(op, at, places) for at, op in enumerate(ops))


def _encode(op: Op, at: int, places: dict[Label, int]) -> bytes:
    def offset(label: Label | None) -> int:
        return 0 if label is None else places[label] - at - 1

    if op.code == JUMP:
        return struct.pack("=HBBI", JUMP, 0, 0, offset(op.yes))
    yes, no = offset(op.yes), offset(op.no)
    if not (0 <= yes <= _MAX_BRANCH and 0 <= no <= _MAX_BRANCH):
        raise ValueError(f"a branch at instruction {at} reaches {yes} or {no} instructions far")
    return struct.pack("=HBBI", op.code, yes, no, op.k)
