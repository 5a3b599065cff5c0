"""What a built site points at: every file and anchor must be there, and nothing may be loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src")}
"""What a browser fetches by itself; a link to elsewhere is a reader's choice."""


class _Page(HTMLParser):
    """The ids of a page, what it loads and what it links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.ids.add(value)
            if value and (tag, name) in LOADED:
                self.loads.append(value)
            elif value and tag == "a" and name == "href":
                self.links.append(value)


def broken(site: Path) -> Iterator[str]:
    """One sentence for every link of a page that leads nowhere, and for all that is loaded from the network."""
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        for target in page.loads:
            if urlsplit(target).scheme in ("http", "https") or target.startswith("//"):
                yield f"{path.relative_to(site)} loads {target} from the network"
        for target in (*page.loads, *page.links):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not file.exists():
                yield f"{path.relative_to(site)} links to {target}, which is not there"
            # A report keeps its filters behind the place: #findings&check=BN301.
            elif parts.fragment and file in pages and unquote(parts.fragment).split("&")[0] not in pages[file].ids:
                yield f"{path.relative_to(site)} links to {target}: no such place on that page"
