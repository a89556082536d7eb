"""Stores that are reached over a network, and how any store is opened and proven fit."""
