"""Evaluation of a run on its test set: the metrics, figures, tables and pages that result.

Start at `evaluation.py`.
"""
