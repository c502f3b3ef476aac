"""Stores behind the Journal port."""
