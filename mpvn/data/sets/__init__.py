"""Readers of data sets, of what lies on this machine: nothing is ever downloaded."""
