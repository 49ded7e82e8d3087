"""The version, for all who want it."""

__version__ = "0.1.0"
