# SPDX-License-Identifier: Apache-2.0
"""quiesce runs, proves and explains locking protocols."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quiesce.splat.explain import Explained

__version__ = "0.1.0"


def explain(text: str) -> tuple[Explained, ...]:
    """Return the lockdep reports in *text*, each read and explained, in the order they appear.

    :param text: a log of any origin: dmesg, journal, serial console, a mail that quotes one.
    :returns: one object a report, with ``report`` (what was read), ``explanation``, ``proof`` and
        ``fingerprint``; none for a text without reports. Never raises, whatever the text is.
    """
    from quiesce.splat.explain import (
        explain_text,
    )  # imported late: a protocol file needs none of it

    return explain_text(text).reports
