"""HTML pages that need no other file, from the templates beside this module."""

from pathlib import Path
from typing import Any

import jinja2


def render(name: str, **values: Any) -> str:
  """Renders a template, `<name>.html.jinja`; values are escaped.

  Args:
    name: of the template.
    **values: that it asks for.

  Returns:
    The page. What is no text, as odd bytes of file names, is replaced.
  """
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / 'templates'),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
  )
  environment.filters['number'] = lambda x: 'none' if x is None else f'{x:.3f}'
  page = environment.get_template(f'{name}.html.jinja').render(values)
  return page.encode('utf-8', 'replace').decode()
