"""What a sandbox changed in a folder of the host without touching it: shown, applied, or discarded."""
