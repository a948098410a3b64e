"""Rendered figures: a data set that the package generates itself."""
