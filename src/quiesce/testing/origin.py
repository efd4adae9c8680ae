# SPDX-License-Identifier: Apache-2.0
"""Where a scenario object comes from, as a replay token says it: its file, its class, its settings."""

from __future__ import annotations

import inspect
import sys
from enum import Enum

from quiesce.errors import UsageError
from quiesce.explorer.replay import Origin
from quiesce.protocol import Scenario
from quiesce.token_file import origin_of


def origin_of_object(scenario: Scenario) -> Origin | None:
    """Return the origin of *scenario*; None if no command line can build it again.

    That is so if its class is not defined at the top of a file that is there, or if an argument of its
    constructor cannot be written down.
    """
    klass = type(scenario)
    module = sys.modules.get(klass.__module__)
    file = getattr(module, "__file__", None)
    settings = _settings(scenario)
    if file is None or settings is None or getattr(module, klass.__name__, None) is not klass:
        return None
    try:
        return origin_of(file, klass.__name__, settings)
    except (OSError, UsageError):
        return None


def _settings(scenario: Scenario) -> list[str] | None:
    """Return the arguments that *scenario* was built with as ``name=value``; None if one cannot be."""
    positional, named = scenario._arguments
    try:
        bound = inspect.signature(type(scenario)).bind(*positional, **named)
    except (TypeError, ValueError):
        return None
    settings = []
    for name, value in bound.arguments.items():
        text = _word(value)
        if text is None:
            return None
        settings.append(f"{name}={text}")
    return settings


def _word(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, int):
        return str(value)
    return value if isinstance(value, str) else None
