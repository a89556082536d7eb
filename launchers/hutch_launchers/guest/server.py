"""The guest of a kept sandbox: starts commands for the host and tells how they ended. Python >= 3.9.

Standard input is a SOCK_SEQPACKET socket to the host; every message is one packet of `!cQi`: kind, id, value.
Where none can be inherited, the arguments are `--connect`, the path of one, and the file of a system call
filter, under which the guest puts itself and so all that it starts; other arguments mean nothing.

    from the host   S id 0         start, with four descriptors: stdin, stdout, stderr, and a file that holds
                                   the command as JSON {argv, cwd, env}
                    K id signum    signal to a command: SIGKILL reaches its descendants too, others its group
    to the host     R 0 0          ready
                    P id pid       started, under this number inside
                    F id errno     could not be started, for this reason
                    X id status    ended, with this wait status

What a command leaves running lives on, until the sandbox ends. The guest ends when the host hangs up.
"""

import ctypes
import json
import os
import select
import signal
import socket
import struct
import sys
from array import array
from contextlib import suppress
from pathlib import Path
from typing import Any

_MESSAGE = struct.Struct("!cQi")
_FDS = 4
_NOT_EXECUTED = 127
_MARK = "HUTCH_SANDBOX"  # where the guest has it, the host finds the sandbox's processes by nothing else
_PROC = Path("/proc")
_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 4, 22, 38, 2


class Guest:
    """The commands of this sandbox, and the host that asks for them."""

    def __init__(self) -> None:
        # Another descriptor than 0, which is for commands; like all that Python opens it closes in them.
        self._host = socket.socket(fileno=os.dup(0))
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        self._wake, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker)
        self._mark = {_MARK: os.environ[_MARK]} if _MARK in os.environ else {}
        self._commands: dict[int, int] = {}  # pid -> id

    def serve(self) -> None:
        """Serve until the host hangs up."""
        self._tell(b"R", 0, 0)
        while True:
            ready, _, _ = select.select([self._host.fileno(), self._wake], [], [])
            if self._wake in ready:
                os.read(self._wake, 4096)
                self._reap()
            if self._host.fileno() in ready and not self._take():
                return

    def _take(self) -> bool:
        """Take one message; False: the host hung up."""
        # not socket.recv_fds: it drops the flag, and commands would inherit each other's descriptors
        data, ancillary, _, _ = self._host.recvmsg(
            _MESSAGE.size, socket.CMSG_LEN(_FDS * 4), socket.MSG_CMSG_CLOEXEC
        )
        fds = array("i")
        for _, _, content in ancillary:
            fds.frombytes(content)
        try:
            if len(data) != _MESSAGE.size:
                return False
            kind, command, value = _MESSAGE.unpack(data)
            if kind == b"S":
                self._start(command, fds)
            elif kind == b"K":
                self._kill(command, value)
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def _start(self, command: int, fds: "array[int]") -> None:
        with os.fdopen(os.dup(fds[3]), "rb") as file:
            wanted = json.load(file)
        wanted["env"].update(self._mark)
        failure, failed = os.pipe()  # closed without a word by a successful exec
        try:
            pid = os.fork()
        except OSError as error:
            os.close(failure)
            os.close(failed)
            self._tell(b"F", command, error.errno or 0)
            return
        if pid == 0:
            _become(wanted, fds, failed)
        os.close(failed)
        reason = os.read(failure, 4)
        os.close(failure)
        if reason:
            os.waitpid(pid, 0)
            self._tell(b"F", command, struct.unpack("!i", reason)[0])
        else:
            self._commands[pid] = command
            self._tell(b"P", command, pid)

    def _reap(self) -> None:
        """Tell the end of every command that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._commands:
                self._tell(b"X", self._commands.pop(pid), status)

    def _kill(self, command: int, signum: int) -> None:
        """Signal a command that has not been reaped, so that its number is its own."""
        for pid, known in self._commands.items():
            if known == command:
                below = _descendants(pid) if signum == signal.SIGKILL else []
                for target in [-pid, *below]:
                    with suppress(OSError):
                        os.kill(target, signum)

    def _tell(self, kind: bytes, command: int, value: int) -> None:
        self._host.send(_MESSAGE.pack(kind, command, value))


def _become(wanted: dict[str, Any], fds: "array[int]", failed: int) -> None:
    """In the new process: turn into the command. Does not return."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for signum in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):  # the last two Python ignores
            signal.signal(signum, signal.SIG_DFL)
        for target in range(3):
            os.dup2(fds[target], target)  # inheritable, unlike everything else that is open here
        os.chdir(wanted["cwd"])
        os.execvpe(wanted["argv"][0], wanted["argv"], wanted["env"])  # noqa: S606 - that is the job
    except OSError as error:
        os.write(
            2, f"hutch: {wanted['argv'][0]}: {error.strerror} inside the sandbox\n".encode(errors="replace")
        )
        os.write(failed, struct.pack("!i", error.errno))
    finally:
        os._exit(_NOT_EXECUTED)


def _descendants(pid: int) -> list[int]:
    """Those that came from `pid` and whose line of parents still leads there; none where /proc is hidden."""
    parents = {}
    try:
        folders = list(_PROC.iterdir())
    except OSError:
        return []
    for folder in folders:
        if folder.name.isdigit():
            with suppress(OSError):
                stat = (folder / "stat").read_bytes()
                parents[int(folder.name)] = int(stat.rpartition(b")")[2].split()[1])
    found = [pid]
    for known in found:
        found += [child for child, parent in parents.items() if parent == known]
    return found[1:]


def connect(path: str) -> None:
    """Make standard input a connection to the host, which waits there."""
    host = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    host.connect(path)
    os.dup2(host.fileno(), 0)
    host.close()


def confine(path: str) -> None:
    """Come under a filter for good, closed to what it starts. Raises OSError where the kernel refuses."""
    program = Path(path).read_bytes()
    instructions = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):  # struct sock_fprog
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))

    libc = ctypes.CDLL(None, use_errno=True)
    filled = Program(len(program) // 8, ctypes.addressof(instructions))
    asked = [(_PR_SET_DUMPABLE, 0, 0), (_PR_SET_NO_NEW_PRIVS, 1, 0)]
    if program:  # else there is none for this machine
        asked.append((_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(filled)))
    for option, first, second in asked:
        if libc.prctl(
            option, ctypes.c_ulong(first), ctypes.c_ulong(second), ctypes.c_ulong(0), ctypes.c_ulong(0)
        ):
            raise OSError(ctypes.get_errno(), "the system call filter was refused")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--connect"]:
        connect(sys.argv[2])
        confine(sys.argv[3])
    Guest().serve()
