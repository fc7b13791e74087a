"""Pictures and pages: figures, anomaly maps over photographs, HTML from templates.

Nothing here knows about models.
"""
