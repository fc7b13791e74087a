"""Finds twins: images of a set that show the same physical part.

Start at `pairs.py`. Nothing here knows about files, datasets or splits.
"""
