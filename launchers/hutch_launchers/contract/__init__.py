"""The contract as a suite of attacks that any method can be held against. Standard library and anyio only."""
