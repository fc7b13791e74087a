"""Training: the step, validation, the loop, groups of models, the log.

Start at `train.py`.
"""
