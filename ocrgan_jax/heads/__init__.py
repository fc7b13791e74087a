"""Judges an image by several heads over its frequency bands, and makes one score of them.

Beyond the paper. Nothing is trained; everything is fitted to normal images.
"""
