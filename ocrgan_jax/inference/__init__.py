"""A trained model at work: it scores images and files, is recalibrated and exported.

Start at `loading.py`.
"""
