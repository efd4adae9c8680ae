# SPDX-License-Identifier: Apache-2.0
"""``quiesce examples``: list the examples that come with the package, or copy them to a directory."""

from __future__ import annotations

import argparse
import ast
import json
from collections.abc import Iterator
from pathlib import Path

import quiesce
from quiesce.errors import UsageError
from quiesce.harmless import harmless
from quiesce.outputs import write_file


def examples_folder() -> Path:
    """Return where the examples lie: inside the package, or beside ``src`` in a checkout.

    :raises UsageError: they are not part of this installation.
    """
    package = Path(quiesce.__file__).parent
    for folder in (package / "_examples", package.parents[1] / "examples"):
        if (folder / "rwsem_gate.py").is_file():
            return folder
    raise UsageError(
        "the examples are not part of this installation", "install quiesce from its wheel"
    )


def example_files(folder: Path) -> Iterator[Path]:
    """Yield the files below *folder*, in order."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".py", ".json") and path.name != "__init__.py":
            yield path


def subject(path: Path) -> str:
    """Return the first sentence of an example about itself; empty if it has none."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        cases = json.loads(text)
        first = cases[0] if isinstance(cases, list) else cases
        about = str(first.get("about", ""))
    else:
        about = ast.get_docstring(ast.parse(text)) or ""
    return about.split("\n\n")[0].replace("\n", " ")


def examples_command(args: argparse.Namespace) -> int:
    """List the examples, or copy them to ``args.directory``; return the exit code."""
    folder = examples_folder()
    files = list(example_files(folder))
    if args.directory is None:
        for path in files:
            print(f"{path.relative_to(folder)}\n    {harmless(subject(path))}")
        print(
            "\n`quiesce examples DIR` copies them to DIR; then `quiesce check DIR/rwsem_gate.py`."
        )
        return 0
    target = Path(args.directory)
    copied = {path: target / path.relative_to(folder) for path in files}
    present = [str(path) for path in copied.values() if path.exists()]
    if present:
        raise UsageError(
            f"{present[0]} exists already; no file was copied", "name a new or empty directory"
        )
    try:
        for source, copy in copied.items():
            copy.parent.mkdir(parents=True, exist_ok=True)
            write_file(str(copy), source.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error}") from None
    print(f"{len(copied)} files copied to {harmless(str(target))}")
    return 0
