# SPDX-License-Identifier: Apache-2.0
"""Adds something small to quiesce for the length of one process, and counts the files that it touches.

An addition is a set of edits of files and of new files. The edited text replaces the file's when it is
imported; the file itself stays as it is, so that compiled kernels stay valid.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "src" / "quiesce"

_PRELUDE = """
import importlib, importlib.machinery, json, sys
edited, folders = json.load(open(sys.argv.pop(1)))
sys.dont_write_bytecode = True
of_disk = importlib.machinery.SourceFileLoader.get_code
def get_code(self, name):
    text = edited.get(self.path)
    return of_disk(self, name) if text is None else compile(text, self.path, "exec")
importlib.machinery.SourceFileLoader.get_code = get_code
for package, folder in folders:
    importlib.import_module(package).__path__.append(folder)
from quiesce.__main__ import program
sys.exit(program())
"""


@dataclass
class Addition:
    """Something that is added.

    :param edits: for each file of the package, pairs of a text that is in it once, and what replaces it.
    :param new: new files of the package and their text.
    """

    edits: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    new: dict[str, str] = field(default_factory=dict)

    def replace(self, file: str, old: str, new: str) -> None:
        """Replace *old*, which stands in *file* once, by *new*."""
        self.edits.setdefault(file, []).append((old, new))

    def before(self, file: str, anchor: str, text: str) -> None:
        """Insert *text* before *anchor*."""
        self.replace(file, anchor, text + anchor)

    def after(self, file: str, anchor: str, text: str) -> None:
        """Insert *text* after *anchor*."""
        self.replace(file, anchor, anchor + text)

    @property
    def files(self) -> int:
        """How many files the addition touches."""
        return len(self.edits) + len(self.new)

    def run(self, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command line *words* with the addition in place.

        :param folder: an empty folder for the files that this takes.
        """
        edited = {}
        for name, pairs in self.edits.items():
            text = (PACKAGE / name).read_text(encoding="utf-8")
            for old, new in pairs:
                assert text.count(old) == 1, f"{name} has {text.count(old)} times {old!r}"
                text = text.replace(old, new)
            edited[str(PACKAGE / name)] = text
        folders = []
        for name, text in self.new.items():
            path = folder / "new" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            folders.append(
                (f"quiesce.{Path(name).parent.as_posix().replace('/', '.')}", str(path.parent))
            )
        (folder / "addition.json").write_text(json.dumps([edited, folders]), encoding="utf-8")
        (folder / "prelude.py").write_text(_PRELUDE, encoding="utf-8")
        return subprocess.run(
            [sys.executable, str(folder / "prelude.py"), str(folder / "addition.json"), *words],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
