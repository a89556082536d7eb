"""From a request to its plan: what a run gets, decided before anything of it exists."""
