"""What every room needs: errors, checks of settings, files, signals, devices, the command line.

Nothing here knows about anomalies.
"""
