"""What normal images show at each place: statistics of frequency bands, and a Gaussian of them.

Beyond the paper.
"""
