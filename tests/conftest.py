# SPDX-License-Identifier: Apache-2.0
"""What every test may use: golden texts, and the folder with public reports where it is present."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts the tests in the background lets Ctrl-C be ignored, by all that they start, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

if os.environ.get("QUIESCE_REPEATABLE"):
    from hypothesis import settings

    settings.register_profile("repeatable", derandomize=True)
    settings.load_profile("repeatable")

collect_ignore = ["data", "golden"]
"""Inputs and expected texts; some are tests of other people's, in files that are called so."""

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"
DATA = Path(__file__).parent / "data"
REFERENCE = ROOT.parent / "shared" / "reference"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the golden texts in tests/golden/ with what the tests produce",
    )


@pytest.fixture
def shared_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the cores of the native explorer share even the smallest levels, state by state."""
    search = pytest.importorskip("quiesce.explorer.native.search")
    for name in ("SMALL_LEVEL", "LEAST_CHUNK", "CHUNK"):
        monkeypatch.setattr(search, name, 3)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Return ``compare(name, text)``: *text* must equal ``tests/golden/name``.

    With ``--update-golden`` the file is rewritten instead; the change is then reviewed in the diff.
    """

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists():
            pytest.fail(f"{path} does not exist; run `make golden` to write it")
        assert text == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder with reports from public mail; see :func:`pytest_collection_modifyitems`."""
    return REFERENCE


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that read reports from public mail, where those are not beside the checkout.

    They are no part of the repository. What they test is tested on reports of our own, too.
    """
    if REFERENCE.is_dir():
        return
    mail = [item for item in items if "reference" in getattr(item, "fixturenames", ())]
    if mail:
        config.hook.pytest_deselected(items=mail)
        items[:] = [item for item in items if item not in set(mail)]


def pytest_report_header() -> str | None:
    if REFERENCE.is_dir():
        return None
    return f"reports from public mail are not beside the checkout ({REFERENCE}): their tests are left out"
