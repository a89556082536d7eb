"""The cases of the contract, one module a group."""
