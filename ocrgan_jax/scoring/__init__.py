"""From outputs to a verdict: anomaly maps and scores (Eq. 13), their scale (Eq. 14), the threshold.

Metrics of whole test sets are here, too.
"""
