"""Judges an image by several heads over its frequency bands, and makes one score of them.

A head is one or more maps with their scores. Its surprise is -log p, where p is the share of normal
images with at least that score.

Beyond the paper. Nothing is trained; everything is fitted to normal images.
"""
