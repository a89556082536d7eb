"""Working folders on this host: compared, committed, restored, kept within bounds."""
