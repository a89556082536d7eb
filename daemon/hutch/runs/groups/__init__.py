"""Groups: several attempts at one task, of which one is kept."""
