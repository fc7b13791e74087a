"""Measures the speed and memory of each part; one file per measurement."""
