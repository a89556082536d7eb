"""What `hutch show` says of a run's policy."""

from hutch.telling.policy import policy_fields


def test_a_policy_is_told_with_who_narrowed_it_and_what_enforces_each_limit() -> None:
    fields = policy_fields(
        {
            "requested": {"tier": "offline", "volumes": ["web", "lib:ro"], "network": "none", "method": None},
            "narrowed": ["tier offline: network none"],
            "granted": {
                "image": "python:3.12",
                "writes": ["web at /workspace"],
                "reads": [],
                "network": [],
                "hidden": [f"/home/one/{n}" for n in range(8)],
                "secrets": ["key: bearer at api.example.org:443"],
                "limits": {"memory_bytes": 2 << 30, "pids": 64, "wall_s": 120.0, "open_files": 4096},
                "needs": ["filesystem"],
            },
            "enforced": {"filesystem": "mount namespace", "memory": "cgroup v2"},
            "evidence": {"filesystem": "host files were neither read nor changed"},
        }
    )
    assert fields == {
        "asked for": "tier offline, volumes web, lib:ro",
        "image": "python:3.12",
        "narrowed by": ("tier offline: network none",),
        "may write": ("web at /workspace",),
        "may read": "nothing of this host but its programs",
        "not shown": ", ".join(f"/home/one/{n}" for n in range(6)) + " and 2 more",
        "may reach": "no network",
        "changed since": (),
        "secrets": ("key: bearer at api.example.org:443",),
        "limits": (
            "memory 2 GiB (cgroup v2)",
            "processes 64 (not enforced here)",
            "open files 4096 (RLIMIT_NOFILE)",
            "time 2 min (the daemon, and its keeper)",
        ),
        "needed": "filesystem",
        "enforced": (
            "filesystem: mount namespace (host files were neither read nor changed)",
            "memory: cgroup v2",
        ),
    }


def test_a_run_that_never_began_has_no_policy_to_tell() -> None:
    assert policy_fields({}) == {}
