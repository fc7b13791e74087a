"""Pictures and pages: figures, maps drawn over photographs, HTML from templates.

Nothing here knows about models.
"""
