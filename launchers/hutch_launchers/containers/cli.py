"""The command line that docker and podman share: a container, hardened and without anything of a run."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from hutch_launchers import proc
from hutch_launchers.containers.engine import RUN, Container
from hutch_launchers.containers.images import Image, look_up
from hutch_launchers.containers.monitors import runtime_calls
from hutch_launchers.containers.skeleton import Skeleton
from hutch_launchers.launcher import LauncherError
from hutch_launchers.seccomp import seccomp_filter
from hutch_launchers.spec import Limits, Mount
from hutch_launchers.system_view import HOSTNAME, PRIVATE

LABEL = "hutch.sandbox"
_CALL_S = 60.0  # an engine on a busy host
_END_S = 10.0  # of a container
_LOOK_S = 0.05
_TAKEN = "already in use"  # what both engines say of a name


@dataclass(frozen=True, slots=True)
class CliEngine:
    """An engine with a command line like docker's."""

    words: tuple[str, ...]  # the program with its own options
    run_words: tuple[str, ...] = ()  # what its `run` needs besides
    processes = 1  # the guest

    def bring(self, image: str, skeleton: Callable[[], Skeleton]) -> None:
        try:
            call([*self.words, "image", "inspect", image])
        except LauncherError:
            call([*self.words, "import", "-", image], skeleton().archive)

    def look_up(self, image: str) -> Image:
        return look_up(lambda name: call([*self.words, "image", "inspect", name]), image)

    def start(self, container: Container) -> str:
        return call(run_argv(self, container)).decode().strip()

    def check(self, name: str) -> None:
        pass  # `run` comes back when it has started

    def forget(self, name: str) -> None:
        pass  # --rm

    def settle(self, name: str, image: str) -> None:
        """See that neither a client of ours nor the engine, after its client's death, still makes one.

        A client is waited for, as one that is killed leaves more. Then the name is taken: the engine gives
        it to none while it makes one that has it.
        """
        until = time.monotonic() + _CALL_S
        while clients := list(proc.pids_with_argument(_named(name))):
            if time.monotonic() > until:
                for pid in clients:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(_LOOK_S)
        self._take_name(name, image, until)
        for words in runtime_calls(name):
            call(words)

    def _take_name(self, name: str, image: str, until: float) -> None:
        words = ("create", "--pull", "never", "--network", "none", _named(name), "--label", LABEL)
        while True:
            self.remove(name)
            try:
                call([*self.words, *words, "--entrypoint", "none", image])
                return
            except LauncherError as error:
                if _TAKEN not in error.message:
                    return  # as without the image, there is none
                if time.monotonic() > until:
                    raise
            time.sleep(_LOOK_S)

    def remove(self, name: str) -> None:
        until = time.monotonic() + _END_S
        while True:
            try:
                call([*self.words, "rm", "--force", name])
                return
            except LauncherError:  # as while the engine removes it for its end
                if not call([*self.words, "ps", "--all", "--quiet", "--filter", f"name={name}"]):
                    return
                if time.monotonic() > until:
                    raise
            time.sleep(_LOOK_S)


def _named(name: str) -> str:
    """The word by which a client that starts it is known."""
    return f"--name={name}"


def run_argv(engine: CliEngine, container: Container) -> list[str]:
    """Pure: the words that start it and come back."""
    return [
        *engine.words,
        *("run", "--detach", "--rm", "--pull", "never", _named(container.name), "--label", LABEL),
        *("--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        "--no-healthcheck",  # an image's own, which the engine would start beside our filter
        *("--ipc", "private", "--cgroupns", "private", "--hostname", HOSTNAME, "--log-driver", "none"),
        # The guest sets ours
        *(() if seccomp_filter() is None else ("--security-opt", "seccomp=unconfined")),
        *("--workdir", "/", "--user", "{}:{}".format(*container.user), *engine.run_words),
        *_limits(container.limits),
        *_mounts(container),
        *(word for name, address in container.hosts for word in ("--add-host", f"{name}:{address}")),
        *(word for name, value in container.env for word in ("--env", f"{name}={value}")),
        *("--entrypoint", container.guest[0], container.image, *container.guest[1:]),
    ]


def _limits(limits: Limits) -> Iterator[str]:
    if limits.memory_bytes is not None:
        yield from ("--memory", str(limits.memory_bytes), "--memory-swap", str(limits.memory_bytes))
    if limits.pids is not None:
        yield from ("--pids-limit", str(limits.pids + CliEngine.processes))
    if limits.cpus is not None:
        yield from ("--cpus", f"{limits.cpus:.2f}")
    if limits.open_files is not None:
        yield from ("--ulimit", f"nofile={limits.open_files}:{limits.open_files}")
    yield from ("--ulimit", "core=0:0")


def _mounts(container: Container) -> Iterator[str]:
    for path, mode, size in private_folders(container.limits.disk_bytes, container.volumes):
        options = f"{path}:rw,exec,nosuid,nodev,mode={mode}"
        if path == "/dev/shm":
            yield from ("--shm-size", str(size or 1 << 26))
        else:
            yield from ("--tmpfs", options + (f",size={size}" if size else ""))
    for mount in (Mount(container.folder, PurePosixPath(RUN)), *container.mounts):
        yield from ("--mount", mount_option(mount))


def private_folders(
    disk_bytes: int | None, volumes: Sequence[str] = ()
) -> Iterator[tuple[str, str, int | None]]:
    """Path, mode and size of the folders of the sandbox's own; an image's `volumes` share half of it."""
    parts = [(path, eighths) for path, _, eighths in PRIVATE]
    if volumes:
        parts = [(path, eighths * len(volumes)) for path, eighths in parts] + [(path, 8) for path in volumes]
    whole = sum(part for _, part in parts)
    for path, part in parts:
        # the home too: nobody else is there, and not every engine can say whose it is
        yield path, "1777", None if disk_bytes is None else max(4096, disk_bytes * part // whole)


def mount_option(mount: Mount) -> str:
    """One mount as the value of `--mount`. Raises LauncherError for a path that it cannot hold."""
    for path in (mount.source, mount.target):
        if any(character in str(path) for character in ',"\n\r'):
            raise LauncherError(
                "sandbox_failed",
                f"a container engine takes no mount of {str(path)!r}",
                "its path holds a comma, a quote or a line's end: rename it",
            )
    read = "" if mount.writable else ",readonly"
    return f"type=bind,source={mount.source},target={mount.target}{read}"


def call(argv: Sequence[str], content: bytes | None = None) -> bytes:
    """Run an engine's program to its end and return its output. Blocks. Raises LauncherError."""
    env = {name: value for name in ("PATH", "HOME", "XDG_RUNTIME_DIR") if (value := os.environ.get(name))}
    try:
        with subprocess.Popen(
            argv, stdin=-1, stdout=-1, stderr=-1, env=env, cwd="/", start_new_session=True
        ) as front:
            try:
                out, err = front.communicate(content, timeout=_CALL_S)
            except BaseException:
                front.kill()
                raise
    except FileNotFoundError as error:
        raise LauncherError("method_unavailable", f"the program {argv[0]!r} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise LauncherError("sandbox_failed", f"{argv[0]} did not answer within {_CALL_S:g} s") from error
    if front.returncode != 0:
        reason = err.decode(errors="replace").strip().rpartition("\n")[2]
        raise LauncherError("sandbox_failed", f"{argv[0]}: {reason}", "see: hutch doctor")
    return out
