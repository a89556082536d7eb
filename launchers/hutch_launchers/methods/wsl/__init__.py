"""The method `wsl`: a distribution of WSL that is reserved for agents."""
