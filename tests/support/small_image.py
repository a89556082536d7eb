"""An image that needs no registry."""

import io
import os
import subprocess
import tarfile


def small_image() -> bytes:
    """A root with a shell, a C library and nothing else: no Python, no coreutils."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        lines = subprocess.run(
            ["ldd", "/bin/sh"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        found = [word for line in lines for word in line.split() if word.startswith("/")]
        for path in ("/bin/sh", *found):
            archive.add(os.path.realpath(path), arcname=path.lstrip("/"))
        for name, text in (("etc/marker", b"of the image\n"), ("workspace/below", b"x")):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
    return content.getvalue()
