"""Stores of objects: the protocol, a folder, S3, Azure, Google; how one is opened and proven fit."""
