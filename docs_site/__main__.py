"""Build the documentation: ``python -m docs_site``. The site is ``build/docs/html/index.html``, read from the disk.

The pages of ``docs/`` are copied beside those that are generated from the code, and Sphinx makes the site from both.
Any warning, and any link that leads nowhere, ends the build with 1.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from docs_site.commands import write_commands
from docs_site.gallery import ROOT, write_gallery
from docs_site.links import broken
from docs_site.words import write_words

HERE = Path(__file__).parent
BUILD = ROOT / "build" / "docs"


def assemble(source: Path) -> None:
    """Put everything that Sphinx reads into a new folder."""
    shutil.copytree(ROOT / "docs", source)
    shutil.copy(HERE / "conf.py", source)
    (source / "static").mkdir()
    shutil.copy(HERE / "site.css", source / "static")
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        text = (ROOT / name).read_text().replace("](docs/", "](")
        (source / name.lower()).write_text(text)
    write_words(source / "reference")
    write_commands(source / "reference" / "commands")
    write_gallery(source, source / "extra")


def main() -> int:
    """Assemble, build, and check the links; the exit code of the build."""
    from sphinx.cmd.build import build_main

    source, site = BUILD / "source", BUILD / "html"
    for folder in (source, site):
        shutil.rmtree(folder, ignore_errors=True)
    assemble(source)
    failed = build_main(["-q", "-W", "--keep-going", "-d", str(BUILD / "doctrees"), str(source), str(site)])
    found = [] if failed else list(broken(site))
    for sentence in found:
        sys.stderr.write(f"{sentence}\n")
    if failed or found:
        return 1
    sys.stdout.write(f"{site / 'index.html'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
