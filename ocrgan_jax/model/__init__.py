"""The static description of a model, its state, and pure functions of both.

`settings.py` turns a config into a model.
"""
