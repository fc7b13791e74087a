"""Forged anomalies, on the device: CutPaste and CutOut (III-D)."""
