"""Phantoms: what a sandbox gets in a secret's place, of one run, worth nothing anywhere else."""

import re
import secrets

_MARK = "hutch"  # by it one is known that belongs to another run, or to one that has ended
_RANDOM = 32  # hexadecimal digits: 128 bits
_PHANTOM = re.compile(rb"hutch[0-9a-f]{32,}")


def new_phantom(like: str, length: int) -> str:
    """Make one that begins with `like` and is as long as the value it stands for, or longer.

    Of the same length, an answer in which the value is overwritten keeps its own.
    """
    digits = max(_RANDOM, length - len(like) - len(_MARK))
    return f"{like}{_MARK}{secrets.token_hex((digits + 1) // 2)[:digits]}"


def phantoms_in(data: bytes) -> list[bytes]:
    """Return what looks like phantoms, of whatever run, without what stands before their mark."""
    return _PHANTOM.findall(data)
