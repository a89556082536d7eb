"""gVisor: what its own kernel refuses must be refused by the host's too."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from hutch_launchers.kernels import look_at_kernel, own_kernel
from hutch_launchers.methods.gvisor.launcher import GvisorLauncher
from hutch_launchers.spec import Guarantee, Mount
from support.launcher_methods import available, run, sh, spec


@pytest.fixture
async def launcher() -> GvisorLauncher:
    found = await available("gvisor")
    assert isinstance(found, GvisorLauncher)
    return found


async def test_nothing_read_only_is_emptied_by_opening_it_to_be_overwritten(
    launcher: GvisorLauncher, tmp_path: Path
) -> None:
    """runsc 20240729 emptied the host's file, and then said that it is on a read-only filesystem."""
    for name in ("ro", "rw", "rw/below", "own"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("ours\n")
    mounts = (
        Mount(tmp_path / "ro", PurePosixPath("/ro")),
        Mount(tmp_path / "rw", PurePosixPath("/rw"), writable=True),
        Mount(tmp_path / "rw/below", PurePosixPath("/rw/below")),
    )
    own = tmp_path / "own"
    files = ("/ro/file", "/rw/below/file", f"{own}/file", "/opt/hutch/run/filter", "/rw/file")
    script = 'for f in "$@"; do (: > $f) 2>/dev/null && echo emptied $f; done; wc -c < /opt/hutch/run/filter'
    done = await run(replace(launcher, readable=(str(own),)), spec(sh(script, *files), mounts=mounts))
    said, size = done.text.splitlines()
    assert said == "emptied /rw/file"
    assert int(size) > 0
    left = [(tmp_path / name / "file").read_text() for name in ("ro", "rw/below", "own", "rw")]
    assert left == ["ours\n", "ours\n", "ours\n", ""]


async def test_it_is_measured_that_its_kernel_is_its_own(launcher: GvisorLauncher) -> None:
    probe = await launcher.probe()
    assert probe.guarantees >= {Guarantee.KERNEL, Guarantee.MEMORY, Guarantee.CPU, Guarantee.FILESYSTEM}
    assert "another kernel answers: 4.4.0" in probe.evidence[Guarantee.KERNEL].detail


HOST: Mapping[str, object] = {"version": "6.1 #1", "boot_id": "a", "booted_at": 1000.0, "barriers": 1023}


@pytest.mark.parametrize(
    ("inside", "is_own"),
    [
        ({}, False),
        ({"booted_at": 2000.0}, False),  # a time namespace
        ({"boot_id": ""}, False),  # a file that is masked
        ({"boot_id": "", "booted_at": 2000.0}, False),
        ({"boot_id": "", "booted_at": 2000.0, "barriers": -1}, False),  # a filter besides
        ({"boot_id": "b"}, False),  # another file over it
        ({"boot_id": "b", "booted_at": 2000.0}, True),  # a virtual machine with the same kernel
        ({"boot_id": "", "booted_at": 2000.0, "barriers": 31}, True),
        ({"boot_id": "", "booted_at": 2000.0, "version": "4.4 #1"}, True),
    ],
)
def test_no_namespace_no_mask_and_no_filter_makes_a_kernel_ones_own(
    inside: Mapping[str, object], is_own: bool
) -> None:
    shown, missing = own_kernel({**HOST, **inside}, HOST, "")
    assert (bool(shown), not missing) == (is_own, is_own)


def test_the_host_itself_is_no_kernel_of_its_own() -> None:
    assert own_kernel(look_at_kernel(), look_at_kernel(), "")[1].startswith("the host's kernel answers")
