"""Models normal images at each position by a Gaussian of frequency-band statistics.

Beyond the paper.
"""
