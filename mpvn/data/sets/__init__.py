"""Readers of data sets that are on this machine. Nothing is ever downloaded."""
