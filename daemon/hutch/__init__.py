"""Hutch: a home for coding agents on a machine you own."""

__version__ = "0.1.0"
