"""What the daemon serves over HTTP beside MCP: who may come in, health, and the service's own wire."""
