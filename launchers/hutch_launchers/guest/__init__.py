"""What runs inside a sandbox or its namespaces: standard library only, works with `python -I -S`."""
