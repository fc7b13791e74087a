"""The HTTP server and its page.

The page's HTML is `templates/page.html.jinja`.
"""
