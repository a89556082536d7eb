"""A file's access list (system.posix_acl_access): one user's entry put in, and taken out again.

Pure. Put in and taken out again, a list that was none before is none again, and the mode is as it was: a
list of the owner, the group and the others alone is stored by the kernel as the mode. Format:
linux/posix_acl_xattr.h.
"""

import stat
import struct
from collections.abc import Collection
from dataclasses import dataclass, replace

NAME = "system.posix_acl_access"
READ, WRITE, ENTER = 4, 2, 1

_VERSION = 2
_HEAD, _ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_NOBODY = 0xFFFFFFFF
_OWNER, _USER, _GROUP, _NAMED_GROUP, _MASK, _OTHERS = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20


class ForeignListError(Exception):
    """The file has an access list that somebody else made: it could not be given back as it was."""


@dataclass(frozen=True, slots=True)
class AccessList:
    """The rights (a sum of READ, WRITE, ENTER) of a file's owner, group and others, and of further users."""

    owner: int
    group: int
    others: int
    users: tuple[tuple[int, int], ...] = ()  # (uid, rights)

    def granting(self, uid: int, rights: int) -> "AccessList":
        rest = tuple(user for user in self.users if user[0] != uid)
        return replace(self, users=tuple(sorted((*rest, (uid, rights)))))

    def without(self, uid: int) -> "AccessList":
        return replace(self, users=tuple(user for user in self.users if user[0] != uid))

    def encode(self) -> bytes:
        entries = [(_OWNER, self.owner, _NOBODY)]
        entries += [(_USER, rights, uid) for uid, rights in self.users]
        entries.append((_GROUP, self.group, _NOBODY))
        if self.users:
            mask = self.group
            for _, rights in self.users:
                mask |= rights
            entries.append((_MASK, mask, _NOBODY))
        entries.append((_OTHERS, self.others, _NOBODY))
        return _HEAD.pack(_VERSION) + b"".join(_ENTRY.pack(*entry) for entry in entries)


def of_mode(mode: int) -> AccessList:
    """The list of a file that has none but its mode."""
    bits = stat.S_IMODE(mode)
    return AccessList(bits >> 6 & 7, bits >> 3 & 7, bits & 7)


def decode(data: bytes, ours: Collection[int]) -> AccessList:
    """Read a list. Raises ForeignListError when it names anybody but `ours`, or cannot be read."""
    if (
        len(data) < _HEAD.size
        or _HEAD.unpack_from(data)[0] != _VERSION
        or (len(data) - _HEAD.size) % _ENTRY.size
    ):
        raise ForeignListError
    rights = {_OWNER: 0, _GROUP: 0, _OTHERS: 0}
    users = []
    for tag, allowed, uid in _ENTRY.iter_unpack(data[_HEAD.size :]):
        if tag in rights:
            rights[tag] = allowed
        elif tag == _USER and uid in ours:
            users.append((uid, allowed))
        elif tag != _MASK:
            raise ForeignListError
    return AccessList(rights[_OWNER], rights[_GROUP], rights[_OTHERS], tuple(users))
