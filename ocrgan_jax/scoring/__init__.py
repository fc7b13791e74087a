"""Anomaly maps and scores of networks (Eq. 13), the scale and threshold of all scores (Eq. 14).

Also computes the metrics of a test set.
"""
