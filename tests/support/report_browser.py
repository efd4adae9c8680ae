# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium that opens a page from disk and hands back what became of it.

Chromium is started once for each look, with ``--dump-dom``. Keys are pressed by a script that is added
to the page, as real events at the element that has the focus.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "br", "wbr", "col", "input", "link"}

PRESS = """
<script>
const addresses = %s.map((key) => {
  const options = { key, bubbles: true, cancelable: true };
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", options));
  return location.hash;
});
document.documentElement.dataset.addresses = JSON.stringify(addresses);
</script>
</body>
"""


@dataclass
class Element:
    """An element of the page, with its children and texts in order."""

    tag: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    def walk(self) -> Iterator[Element]:
        """Yield the elements below this one, in the order of the page."""
        for child in self.children:
            if isinstance(child, Element):
                yield child
                yield from child.walk()

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Return the elements below that have this tag and these attributes."""
        return [
            element
            for element in self.walk()
            if element.tag == tag and attributes.items() <= element.attributes.items()
        ]

    def first(self, tag: str, **attributes: str) -> Element:
        """Return the first of :meth:`all`; an AssertionError if there is none."""
        found = self.all(tag, **attributes)
        assert found, f"there is no <{tag}> with {attributes}"
        return found[0]

    def text(self) -> str:
        """Return the text of the element, without what only divides it."""
        return "".join(c if isinstance(c, str) else c.text() for c in self.children).strip()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


class Browser:
    """Looks at pages with the Chromium at *path*."""

    scripts_added = 1

    def __init__(self, path: str) -> None:
        self.path = path

    @staticmethod
    def find() -> str | None:
        """Return the path of a Chromium, or None if there is none."""
        return shutil.which("chromium") or shutil.which("chromium-browser")

    def look(self, page: str, address: str = "", keys: Sequence[str] = ()) -> Element:
        """Return the document after the page's script has run and *keys* were pressed.

        :param address: what follows the file's name, from the ``#`` on.
        """
        head, end, _ = page.rpartition("</body>")
        assert end
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "page.html"
            file.write_text(head + PRESS % json.dumps(list(keys)), encoding="utf-8")
            command = [
                self.path, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
                "--virtual-time-budget=500", f"--user-data-dir={folder}/profile", f"{file.as_uri()}{address}",
            ]  # fmt: skip
            done = subprocess.run(command, capture_output=True, timeout=120, check=True)
        reader = _Reader()
        reader.feed(done.stdout.decode())
        return reader.root

    @staticmethod
    def addresses(document: Element) -> list[str]:
        """Return the address that the page had given itself after each of the keys."""
        addresses: list[str] = json.loads(document.first("html").attributes["data-addresses"])
        return addresses
