"""Export networks to files that run without this package."""

from mpvn.export.formats import export_network

__all__ = ["export_network"]
