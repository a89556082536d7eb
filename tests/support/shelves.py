"""What package managers and git fetch, as plain files: a repository, and a package of every kind."""

import base64
import hashlib
import io
import json
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

_GIT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"], "HOME": "/"}
_ID = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")


def fill(folder: Path, origin: str) -> None:
    """Put all of it into `folder`, which is served at `origin`."""
    _repository(folder)
    _wheel(folder / "simple" / "demo-package")
    _npm(folder / "npm", f"{origin}/npm")
    _apt(folder / "debian")
    _crate(folder, origin)


def _repository(folder: Path) -> None:
    work = folder / "work"
    work.mkdir()
    (work / "README").write_text("from the repository\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run(["git", *_ID, *words], cwd=work, check=True, env=_GIT)
    bare = ["git", "clone", "-q", "--bare", str(work), str(folder / "repo.git")]
    subprocess.run(bare, check=True, env=_GIT)
    subprocess.run(["git", "update-server-info"], cwd=folder / "repo.git", check=True, env=_GIT)


def _wheel(folder: Path) -> None:
    folder.mkdir(parents=True)
    name = "demo_package-1.0-py3-none-any.whl"
    info = "demo_package-1.0.dist-info"
    with zipfile.ZipFile(folder / name, "w") as wheel:
        wheel.writestr("demo_package.py", "WORD = 'from the wheel'\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: demo-package\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    (folder / "index.html").write_text(f'<a href="{name}">{name}</a>')


def _npm(folder: Path, origin: str) -> None:
    folder.mkdir()
    about = {"name": "demo-package", "version": "1.0.0", "main": "index.js"}
    files = {"package.json": json.dumps(about), "index.js": "module.exports = 'from the tarball'\n"}
    data = _tarball("package", files)
    (folder / "demo-package-1.0.0.tgz").write_bytes(data)
    digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
    dist = {"tarball": f"{origin}/demo-package-1.0.0.tgz", "integrity": f"sha512-{digest}"}
    packument = {
        "name": "demo-package",
        "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": {**about, "dist": dist}},
    }
    (folder / "demo-package").write_text(json.dumps(packument))


def _apt(folder: Path) -> None:
    folder.mkdir()
    about = "Package: demo-package\nVersion: 1.0\nArchitecture: all\nMaintainer: t <t@example.org>\n"
    about += (
        f"Filename: ./demo.deb\nSize: 4\nSHA256: {hashlib.sha256(b'deb!').hexdigest()}\nDescription: demo\n"
    )
    (folder / "Packages").write_text(about)
    (folder / "demo.deb").write_bytes(b"deb!")


def _crate(folder: Path, origin: str) -> None:
    index, crates = folder / "index" / "de" / "mo", folder / "crates" / "demo-package" / "1.0.0"
    index.mkdir(parents=True)
    crates.mkdir(parents=True)
    about = '[package]\nname = "demo-package"\nversion = "1.0.0"\nedition = "2021"\n'
    data = _tarball("demo-package-1.0.0", {"Cargo.toml": about, "src/lib.rs": "// from the crate\n"})
    (crates / "download").write_bytes(data)
    (folder / "index" / "config.json").write_text(json.dumps({"dl": f"{origin}/crates"}))
    line = {"name": "demo-package", "vers": "1.0.0", "deps": [], "features": {}, "yanked": False}
    (index / "demo-package").write_text(
        json.dumps({**line, "cksum": hashlib.sha256(data).hexdigest()}) + "\n"
    )


def _tarball(top: str, files: Mapping[str, str]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return content.getvalue()
