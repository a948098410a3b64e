"""Export networks to files that run without this package."""

from mpvn.export.formats import FORMATS, export_network

__all__ = ["FORMATS", "export_network"]
