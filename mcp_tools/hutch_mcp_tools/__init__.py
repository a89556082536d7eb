"""What an agent may ask: the MCP tools over one service protocol. Knows nothing of how it is done."""
