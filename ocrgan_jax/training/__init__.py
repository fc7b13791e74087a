"""Training: the step, the loop, validation, several models at once, the log.

Start reading at `train.py`.
"""
