# SPDX-License-Identifier: Apache-2.0
"""Checks from Python: in tests, in a notebook, at the prompt. ``docs/testing.md`` shows how."""

from quiesce.testing.checked import Checked, check
from quiesce.testing.kept import Replayed, replay

__all__ = ["Checked", "Replayed", "check", "replay"]
