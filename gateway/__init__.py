"""Sealgate: a tool gateway that decides, records and seals every call. See docs/explanation/architecture.md."""

__version__ = "0.1.0"
