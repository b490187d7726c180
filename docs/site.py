"""Pages of the site are the repository's own Markdown files, read where they stand.

MkDocs knows the files of `docs/` only, and their links to README.md, recipes/ and tasks/ would lead nowhere. Here each
file is known by its path from the repository's root instead, so that a link that works on a forge works on the site.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PICTURES = "results/sweeps/*/plot.svg"
"""What pages outside docs/ show."""

WITHIN = re.compile(r"(?<=\d) (?=\[[^\[\]<]{1,24}\])|(?<=,) (?=[+−-]?[\d.]+\])|(?<=&lt;) (?=\d)| (?=%)")
"""Spaces at which no line may end: before an interval, within it, behind `<`, and before a percent sign."""


def on_page_content(html: str, **_: Any) -> str:
    """Keep figures together with their intervals and units."""
    return re.sub(r"<td.*?</td>", lambda cell: WITHIN.sub("\N{NO-BREAK SPACE}", cell[0]), html, flags=re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Name every file by its path from the root, and add the pages of the navigation that docs/ does not hold."""
    root = Path(config.config_file_path).parent
    docs = [file for file in files if file.src_dir == config.docs_dir]
    paths = {f"docs/{file.src_uri}" for file in docs if Path(file.src_uri).suffix not in (".py", ".pyc")}
    paths |= {page for page in _pages(config.nav) if (root / page).is_file()}
    paths |= {str(path.relative_to(root)) for path in root.glob(PICTURES)}
    for file in docs:
        files.remove(file)
    for path in sorted(paths):
        files.append(File(path, str(root), config.site_dir, config.use_directory_urls))
    return files


def _pages(nav: object) -> set[str]:
    """List the paths that a navigation names."""
    if isinstance(nav, str):
        return {nav}
    inner = nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ()
    return {page for part in inner for page in _pages(part)}
