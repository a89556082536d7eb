"""The tools, by the noun they are about. A tool's docstring is what the model reads."""
