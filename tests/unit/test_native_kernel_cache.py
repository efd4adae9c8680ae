# SPDX-License-Identifier: Apache-2.0
"""Where compiled kernels are kept: never where another user can have put something for us to run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from quiesce.explorer.native.kernels.kernel_cache import cache_directory

STRANGER = 54321
"""A user that is neither root nor anybody here."""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place that is tried before a fresh directory: a safe one, until a test changes it."""
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for folder in ("home", "tmp"):
        (tmp_path / folder).mkdir(mode=0o700)
    # Only fresh directories can be made in "tmp".
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp" / f"quiesce-{os.getuid()}").write_text("a file where a folder would be")
    return tmp_path / "home" / ".cache"


def is_private(path: Path) -> bool:
    return path.stat().st_mode & 0o777 == 0o700


def leaf_of(base: Path) -> Path:
    """Return the directory that is used under *base*."""
    leaf = cache_directory()
    assert leaf is not None
    assert base in leaf.parents
    return leaf


def test_it_is_made_for_us_alone_and_found_again(base: Path) -> None:
    before = os.umask(0)
    try:
        leaf = leaf_of(base)
    finally:
        os.umask(before)
    assert is_private(leaf) and is_private(leaf.parent) and is_private(base)
    (leaf / "kernel").write_text("")
    assert leaf_of(base) == leaf
    leaf.chmod(0o755)
    assert leaf_of(base) == leaf and is_private(leaf), "others may read it: that is mended"


@pytest.mark.parametrize("name", ["XDG_CACHE_HOME", "NUMBA_CACHE_DIR"])
def test_a_place_can_be_given(
    name: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "given").mkdir()
    monkeypatch.setenv(name, str(tmp_path / "given"))
    assert tmp_path / "given" in leaf_of(tmp_path / "given").parents
    monkeypatch.setenv(name, "given")
    leaf_of(base)


def test_a_link_of_ours_above_it_is_followed(base: Path, tmp_path: Path) -> None:
    (tmp_path / "large disk").mkdir(mode=0o700)
    base.symlink_to(tmp_path / "large disk")
    leaf_of(base)


def leaf_is_a_link(leaf: Path) -> None:
    leaf.rename(leaf.parent / "elsewhere")
    leaf.symlink_to(leaf.parent / "elsewhere")


def ours_is_a_link(leaf: Path) -> None:
    leaf.parent.rename(leaf.parent.parent / "elsewhere")
    leaf.parent.symlink_to(leaf.parent.parent / "elsewhere")


def leaf_is_a_file(leaf: Path) -> None:
    leaf.rmdir()
    leaf.write_text("")


def group_may_write(leaf: Path) -> None:
    leaf.chmod(0o770)


def all_may_write(leaf: Path) -> None:
    leaf.chmod(0o777)


def all_may_write_above(leaf: Path) -> None:
    leaf.parent.parent.chmod(0o777)


def group_may_write_far_above(leaf: Path) -> None:
    leaf.parent.parent.parent.chmod(0o775)


def a_link_is_in_it(leaf: Path) -> None:
    (leaf / "kernels").symlink_to("/etc")


def leaf_of_a_stranger(leaf: Path) -> None:
    os.chown(leaf, STRANGER, STRANGER)


def ours_of_a_stranger(leaf: Path) -> None:
    os.chown(leaf.parent, STRANGER, STRANGER)


def a_folder_above_of_a_stranger(leaf: Path) -> None:
    os.chown(leaf.parent.parent.parent, STRANGER, STRANGER)


def a_file_of_a_stranger(leaf: Path) -> None:
    (leaf / "kernel.nbi").write_text("")
    os.chown(leaf / "kernel.nbi", STRANGER, STRANGER)


DANGERS = [
    leaf_is_a_link, ours_is_a_link, leaf_is_a_file, group_may_write, all_may_write, all_may_write_above,
    group_may_write_far_above, a_link_is_in_it, leaf_of_a_stranger, ours_of_a_stranger,
    a_folder_above_of_a_stranger, a_file_of_a_stranger,
]  # fmt: skip


@pytest.mark.parametrize("danger", DANGERS, ids=lambda d: d.__name__)
def test_what_others_could_change_is_not_used(danger: Callable[[Path], None], base: Path) -> None:
    leaf = leaf_of(base)
    if "stranger" in danger.__name__ and os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    danger(leaf)
    for _ in range(2):
        used = cache_directory()
        assert used is not None
        assert base not in used.parents
        assert is_private(used) and not list(used.iterdir()), "a fresh one"


def test_without_any_place_nothing_is_kept(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leaf_is_a_file(leaf_of(base))
    monkeypatch.setattr(tempfile, "tempdir", str(base.parent.parent / "file" / "no folder"))
    assert cache_directory() is None


def test_a_place_that_all_may_write_to_needs_a_sticky_bit(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaf_is_a_file(leaf_of(base))
    shared = base.parent.parent / "tmp"
    shared.chmod(0o777)
    assert cache_directory() is None
    shared.chmod(0o1777)
    assert cache_directory() is not None
