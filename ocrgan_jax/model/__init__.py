"""A model as data: its static description, its state, and the pure functions of both.

A config becomes a model in `settings.py`; what a recipe does is in `stages.py`.
"""
