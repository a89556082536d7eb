"""Why this host lets a program make no user namespace, or map no users in one, and the exact fix of each.

Everything is read from files, so that a test may imitate a host. No fix switches a protection of the host
off: it gives one program the right, or names another way.
"""

import getpass
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_SYSCTL_FOLDERS = (
    "etc/sysctl.d",
    "run/sysctl.d",
    "usr/local/lib/sysctl.d",
    "usr/lib/sysctl.d",
    "lib/sysctl.d",
)
_PROFILES = "etc/apparmor.d"
_SPARE_PROFILES = "usr/share/apparmor/extra-profiles"  # Ubuntu's, not in force until they are copied
_LOADED = "sys/kernel/security/apparmor/profiles"
_CONTAINER_SIGNS = (".dockerenv", "run/.containerenv")
_FILTERED = "2"  # SECCOMP_MODE_FILTER in /proc/self/status
_ELSEWHERE = "or choose a method that needs no user namespace (landlock, account); `hutch doctor` shows them"
_UIDS_OF_ONE = 65536  # what an image's users fit in


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why sandboxes cannot be made here, and what mends it."""

    reason: str
    fix: str


@dataclass(frozen=True, slots=True)
class Host:
    """The host whose files are read, and as whom."""

    root: Path = Path("/")
    uid: int = field(default_factory=os.geteuid)

    def read(self, path: str) -> str | None:
        """A file's text; None: it is not there, or not for us."""
        with suppress(OSError, ValueError):
            return (self.root / path).read_text(encoding="utf-8", errors="replace").strip()
        return None

    def sysctl(self, name: str) -> str | None:
        return self.read("proc/sys/" + name.replace(".", "/"))


def find_obstacle(program: str, complaint: str, host: Host | None = None) -> Obstacle:
    """Why `program` could not make its user namespace here; `complaint` is what it said.

    An obstacle that nothing on the host shows is the complaint itself.
    """
    host = host or Host()
    return (
        _old_wsl(host)
        or _none_at_all(host)
        or _root_alone(host)
        or _apparmor(program, host)
        or _container(host)
        or Obstacle(
            complaint or f"{program} could not make a sandbox", "the kernel's own words: dmesg | tail"
        )
    )


def find_mapping_obstacle(user: str | None = None, host: Host | None = None) -> Obstacle | None:
    """Why an ordinary user cannot have a namespace with many users in it, as a rootless container needs.

    `user` None: the one that we are. None where nothing is in the way.
    """
    host = host or Host()
    if host.uid == 0:
        return None
    user = user or getpass.getuser()
    for helper in ("newuidmap", "newgidmap"):
        found = next(
            (p for d in ("usr/bin", "bin", "usr/local/bin") if (p := host.root / d / helper).exists()), None
        )
        if found is None:
            return Obstacle(
                f"{helper} is not installed", "as root: apt install uidmap (shadow-utils on Fedora)"
            )
        if not found.stat().st_mode & stat.S_ISUID and not _has_capability(found):
            inside = "/" + str(found.relative_to(host.root))
            return Obstacle(
                f"{inside} is neither setuid nor has the capability to map users",
                f"as root: apt install --reinstall uidmap; or: chmod u+s {inside}",
            )
    if (_field(host, "NoNewPrivs")) == "1":
        return Obstacle(
            "the daemon may gain no privileges, so newuidmap cannot do its work",
            "start it without NoNewPrivileges=yes in its unit (systemctl --user edit hutch)",
        )
    for name in ("subuid", "subgid"):
        if _subordinate(host.read(f"etc/{name}") or "", user, host.uid) < _UIDS_OF_ONE:
            return Obstacle(
                f"{user} has fewer than {_UIDS_OF_ONE} subordinate ids in /etc/{name}",
                f"as root: usermod --add-{name}s 100000-165535 {user} (a range that is nobody else's there)",
            )
    return None


def apparmor_profile(program: str) -> str:
    """A profile that gives one program the right to make user namespaces, and changes nothing else for it."""
    return (
        "abi <abi/4.0>,\n"
        "include <tunables/global>\n"
        f"profile {_profile_name(program)} {program} flags=(unconfined) {{\n"
        "  userns,\n"
        "}\n"
    )


# What may stand in the way, the surest first ---------------------------------------------


def _old_wsl(host: Host) -> Obstacle | None:
    release = host.sysctl("kernel.osrelease") or ""
    if release.endswith("-Microsoft"):  # version 2 says microsoft-standard-WSL2
        return Obstacle(
            "this is WSL version 1, which has no namespaces",
            "on Windows: wsl --set-version NAME 2 (the names: wsl --list --verbose)",
        )
    return None


def _none_at_all(host: Host) -> Obstacle | None:
    if host.sysctl("user.max_user_namespaces") != "0":
        return None
    return Obstacle(
        "user.max_user_namespaces is 0" + _set_in(host, "user.max_user_namespaces"),
        f"as root: sysctl user.max_user_namespaces=1024 (to keep it: a file in /etc/sysctl.d); {_ELSEWHERE}",
    )


def _root_alone(host: Host) -> Obstacle | None:
    if host.uid == 0 or host.sysctl("kernel.unprivileged_userns_clone") != "0":
        return None
    return Obstacle(
        "kernel.unprivileged_userns_clone is 0: only root may make user namespaces"
        + _set_in(host, "kernel.unprivileged_userns_clone"),
        f"run the daemon as root (the system service, as root: systemctl enable --now hutch), {_ELSEWHERE}",
    )


def _apparmor(program: str, host: Host) -> Obstacle | None:
    if host.uid == 0 or host.sysctl("kernel.apparmor_restrict_unprivileged_userns") != "1":
        return None
    reason = (
        f"AppArmor keeps {program} from making user namespaces "
        "(kernel.apparmor_restrict_unprivileged_userns is 1)"
    )
    for file, name in _attached(program, host.root / _PROFILES):
        loaded = host.read(_LOADED)  # for root alone, as a rule
        if loaded is not None and re.search(rf"^{re.escape(name)} \(", loaded, re.MULTILINE):
            return None
        return Obstacle(
            f"{reason}, though its profile is there: {file.name} in /{_PROFILES} may not be loaded",
            f"as root: apparmor_parser -r /{_PROFILES}/{file.name}",
        )
    for file, _ in _attached(program, host.root / _SPARE_PROFILES):
        return Obstacle(
            f"{reason}; the distribution has a profile for it that is not in force",
            f"as root: cp /{_SPARE_PROFILES}/{file.name} /{_PROFILES}/ && "
            f"apparmor_parser -r /{_PROFILES}/{file.name}",
        )
    if not _is_roots(host.root / program.lstrip("/")):
        # a profile names a path, and whoever may write there would have the right for any program
        return Obstacle(
            f"{reason}, and {program} is not root's own, so that no profile can safely name it",
            "install the distribution's package (apt install bubblewrap); then see again: hutch doctor",
        )
    path = f"/{_PROFILES}/{_profile_name(program)}"
    text = apparmor_profile(program).replace("\n", "\\n")
    return Obstacle(
        reason,
        "give this one program the right by a profile; as root: "
        f"printf '{text}' > {path} && apparmor_parser -r {path}",
    )


def _container(host: Host) -> Obstacle | None:
    if not any((host.root / sign).exists() for sign in _CONTAINER_SIGNS):
        return None
    if _field(host, "Seccomp") == _FILTERED:
        return Obstacle(
            "the daemon is in a container whose system call filter refuses namespaces",
            "run the daemon on the host; or start the container with a filter that allows unshare, clone and "
            "mount: docker run --security-opt seccomp=FILE, the engine's default with these added",
        )
    if _proc_is_covered(host):
        return Obstacle(
            "the daemon is in a container that covers parts of /proc: no sandbox may have a /proc of its own",
            "run the daemon on the host, or start the container by: podman run --security-opt unmask=/proc/*",
        )
    return None


# What the files say ------------------------------------------------------------------------


def _set_in(host: Host, name: str) -> str:
    """Which file sets it, for the person who is to ask why."""
    pattern = re.compile(rf"^\s*-?{re.escape(name)}\s*=", re.MULTILINE)
    for folder in _SYSCTL_FOLDERS:
        for file in sorted((host.root / folder).glob("*.conf")):
            if pattern.search(host.read(str(file.relative_to(host.root))) or ""):
                return f" (set in /{folder}/{file.name})"
    return ""


def _attached(program: str, folder: Path) -> Iterator[tuple[Path, str]]:
    """The profiles in a folder that are for `program` and give it user namespaces, with their names."""
    head = re.compile(
        rf"^\s*(?:profile\s+(?P<name>\S+)\s+)?[\"']?{re.escape(program)}[\"']?\s[^\n]*\{{", re.MULTILINE
    )
    with suppress(OSError):
        for file in sorted(folder.iterdir()):
            if file.is_file():
                text = file.read_text(encoding="utf-8", errors="replace")
                if (found := head.search(text)) and re.search(
                    r"^\s*(allow\s+)?(userns|all)\b", text, re.MULTILINE
                ):
                    yield file, found["name"] or program


def _profile_name(program: str) -> str:
    return "hutch-" + re.sub(r"[^A-Za-z0-9._-]", "-", Path(program).name)


def _is_roots(path: Path) -> bool:
    """Whether no other may replace the file; one that is not there is taken as the package will make it."""
    with suppress(OSError):
        status = path.stat()
        return status.st_uid == 0 and not status.st_mode & 0o022
    return True


def _has_capability(path: Path) -> bool:
    with suppress(OSError):
        return bool(os.getxattr(path, "security.capability"))
    return False


def _field(host: Host, name: str) -> str:
    """One line of what the kernel says of this process."""
    text = host.read("proc/self/status") or ""
    found = re.search(rf"^{name}:\s*(\S+)", text, re.MULTILINE)
    return found[1] if found else ""


def _proc_is_covered(host: Host) -> bool:
    lines = (host.read("proc/self/mountinfo") or "").splitlines()
    return any(len(words := line.split()) > 4 and words[4].startswith("/proc/") for line in lines)


def _subordinate(text: str, user: str, uid: int) -> int:
    """How many ids `/etc/subuid` or `/etc/subgid` gives to a user."""
    count = 0
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name in (user, str(uid)):
            with suppress(ValueError):
                count += int(rest.partition(":")[2])
    return count
