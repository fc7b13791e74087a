"""A run's folder: config, training images, checkpoints, calibration and lock.

All calls to orbax are here.
"""
