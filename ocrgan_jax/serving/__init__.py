"""The HTTP server and its web page, `templates/page.html.jinja`."""
