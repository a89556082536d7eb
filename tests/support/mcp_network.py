"""The network of the fake service: what its tests say that went out."""

from hutch_mcp_tools.network_records import ConnectionRecord, NetworkChange, NetworkRecord


class FakeNetwork:
    """Every run has the same connections."""

    def __init__(self) -> None:
        self.connections: list[ConnectionRecord] = []

    async def network_log(self, of: str, limit: int = 1000) -> list[ConnectionRecord]:
        return self.connections[-limit:]

    async def change_network(self, of: str, change: NetworkChange) -> NetworkRecord:
        said = ([change.host], []) if change.allowed else ([], [change.host])
        return NetworkRecord(of=of, allow=said[0], deny=said[1], changes=[])
