"""What training minimises, and how: the losses (Eq. 9-12), Adam, its schedule.

Pure functions and settings.
"""
