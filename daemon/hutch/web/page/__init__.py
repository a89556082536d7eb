"""The page: what a person glances at while agents work. It shows what the service tells."""
