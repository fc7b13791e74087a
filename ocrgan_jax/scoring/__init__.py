"""Turns network outputs into anomaly maps, scores (Eq. 13, 14) and a threshold.

Also computes the metrics of a test set.
"""
