"""Forges anomalies on the device: CutPaste, CutOut (III-D) and mixtures of frequency bands.

Pure functions of arrays; no I/O.
"""
