"""Export networks to files that run without this package."""

from mpvn.export.saved_model import export_network

__all__ = ["export_network"]
