"""Makes the documents a site: adds README and notebook, and makes links to code names."""

import logging
import os
import re
from pathlib import Path
from typing import Any

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / 'examples/demo.ipynb'
LINK = re.compile(r'(?<!!)\[([^\]]*)\]\(([^)#\s:]+)(#[^)\s]*)?\)')
log = logging.getLogger('mkdocs.plugins.site_hooks')


@event_priority(50)  # before mkdocs-jupyter looks for notebooks
def on_files(files: Files, config: Any) -> Files:
  """Adds the notebook, and the README as the first page; its links start at the root."""
  text = (ROOT / 'README.md').read_text()
  text = text.replace('](docs/', '](').replace('](examples', '](../examples')
  files.append(File.generated(config, 'index.md', content=text))
  where = (str(NOTEBOOK.parent), config.site_dir, config.use_directory_urls)
  files.append(File(NOTEBOOK.name, *where))
  return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
  """Replaces links to files outside the documents by their text; warns of missing files."""
  if page.file.src_uri == NOTEBOOK.name:
    return markdown
  here = ROOT / 'docs' / Path(page.file.src_uri).parent

  def replace(match: re.Match[str]) -> str:
    text, target = match[1], (here / match[2]).resolve()
    if target == NOTEBOOK:
      return f'[{text}]({os.path.relpath(ROOT / "docs" / NOTEBOOK.name, here)})'
    in_site = target.is_relative_to(ROOT / 'docs') and target.suffix in ('.md', '.png')
    if not target.exists() and target != ROOT / 'docs/index.md':
      log.warning('%s links to %s, which does not exist', page.file.src_uri, match[2])
    return match[0] if in_site else text

  return LINK.sub(replace, markdown)


def on_page_content(html: str, page: Any, **_: Any) -> str:
  """Warns if the notebook was saved without its pictures."""
  if page.file.src_uri == NOTEBOOK.name and html.count('<img') < 2:
    log.warning('%s has no pictures: run `make notebook`', NOTEBOOK.name)
  return html
