"""Evaluates runs on their test sets: metrics, figures, tables and pages.

Start reading at `evaluation.py`.
"""
