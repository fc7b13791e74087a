"""Datasets, and photographs to arrays: checked once, kept as records, served in batches."""
