"""Rendered figures: the data set that the package makes itself."""
