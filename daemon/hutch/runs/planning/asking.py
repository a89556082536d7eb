"""From a request, as it comes over the wire or in a job, to what it asks for."""

from hutch.policy import Wish
from hutch_mcp_tools.run_records import RunRequest


def wish_of(request: RunRequest) -> Wish:
    """Return what a request for one command asks for."""
    return Wish(
        command=request.command,
        volumes=request.volumes,
        args=request.args,
        workspace=request.workspace,
        method=request.method,
        image=request.image,
        tier=request.tier,
        cwd=request.cwd,
        env=request.env,
        network=request.network,
        secrets=request.secrets,
        wall_s=request.timeout_s,
        memory_bytes=request.memory_bytes,
        cpus=request.cpus,
        pids=request.pids,
        disk_bytes=request.disk_bytes,
        open_files=request.open_files,
        output_bytes=request.output_bytes,
        budget_usd=request.budget_usd,
        budget_tokens=request.budget_tokens,
        budget_requests=request.budget_requests,
        pause_at_budget=request.pause_at_budget,
        volume_wait_s=request.volume_wait_s,
    )
