"""Who may write a volume: leases, and entries that are put under one."""
