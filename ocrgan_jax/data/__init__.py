"""Datasets and photographs as arrays: checked once, stored as records, served in batches."""
