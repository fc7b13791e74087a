"""Self-contained HTML pages from Jinja templates."""

from pathlib import Path
from typing import Any

import jinja2

SHARED = Path(__file__).parent / 'templates'  # parts that templates of other packages include


def render(template: Path, **values: Any) -> str:
  """Renders a template; values are escaped.

  Args:
    template: the template file.
    **values: its variables.

  Returns:
    The page. Invalid Unicode, e.g. from file names, is replaced.
  """
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader([template.parent, SHARED]),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
  )
  environment.filters['number'] = lambda x: 'none' if x is None else f'{x:.3f}'
  page = environment.get_template(template.name).render(values)
  return page.encode('utf-8', 'replace').decode()
