"""Losses (Eq. 9-12), the optimiser and the schedule: pure functions and settings."""
