"""Makes the documents a site: the README is its first page, and links to code become names."""

import logging
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
LINK = re.compile(r'(?<!!)\[([^\]]*)\]\(([^)#\s:]+)(#[^)\s]*)?\)')
log = logging.getLogger('mkdocs.plugins.site_hooks')


def on_files(files: Files, config: Any) -> Files:
  """Adds the README as the first page; its links start at the repository's root."""
  text = (ROOT / 'README.md').read_text().replace('](docs/', '](')
  files.append(File.generated(config, 'index.md', content=text))
  return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
  """Replaces links to files outside the documents by their text; warns of missing files."""
  here = ROOT / 'docs' / Path(page.file.src_uri).parent

  def replace(match: re.Match[str]) -> str:
    text, target = match[1], (here / match[2]).resolve()
    in_site = target.is_relative_to(ROOT / 'docs') and target.suffix in ('.md', '.png')
    if not target.exists() and target != ROOT / 'docs/index.md':
      log.warning('%s links to %s, which does not exist', page.file.src_uri, match[2])
    return match[0] if in_site else text

  return LINK.sub(replace, markdown)
