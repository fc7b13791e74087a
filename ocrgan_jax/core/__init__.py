"""Shared foundations: errors, settings checks, files, signals, devices, the command line.

Nothing here knows about anomalies.
"""
