# SPDX-License-Identifier: Apache-2.0
"""Copies of the project in which files are mutated, so that the checkout is left alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "mutants"


def make_tree(number: int) -> Path:
    """Copy what is under version control, as it is now, to tree *number*; return the directory."""
    tree = BUILD / "trees" / str(number)
    shutil.rmtree(tree, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, tree / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    # The reference folder lies beside a checkout; tests that need it find it beside the copies, too.
    shared = BUILD / "trees" / "shared"
    if not shared.exists() and (ROOT.parent / "shared").exists():
        shared.symlink_to((ROOT.parent / "shared").resolve())
    return tree


def enter(tree: Path) -> None:
    """Let this process, and the tests that it starts, work in *tree*."""
    os.chdir(tree)
    os.environ["PYTHONPATH"] = str(tree / "src")
    cache = tree / "cache"
    cache.mkdir(exist_ok=True)
    os.environ["XDG_CACHE_HOME"] = str(cache)


def forget_kernels(keep: set[str]) -> None:
    """Remove what was compiled for mutated kernels: the cache has a folder for each source text."""
    for folder in Path(os.environ["XDG_CACHE_HOME"]).glob("quiesce/native-*"):
        if folder.name not in keep:
            shutil.rmtree(folder, ignore_errors=True)


def kernels() -> set[str]:
    """Return the folders of compiled kernels that there are."""
    cache = Path(os.environ["XDG_CACHE_HOME"])
    return {folder.name for folder in cache.glob("quiesce/native-*")}
