# SPDX-License-Identifier: Apache-2.0
"""Read and explain the reports of lockdep in any log. The package itself can be called.

The data flows one way, and so do the imports: ``read/`` (text -> what it says) -> ``judge/`` (->
an explanation) -> ``prove/`` (-> a checked scenario) -> ``log`` (all of it, for each report of a log)
-> ``show/`` (text, Markdown, HTML, JSON). A kind of report has one file in ``read/kinds/`` and one in
``judge/kinds/``.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quiesce.explain.log import Explained


class _Callable(ModuleType):
    """Makes ``quiesce.explain(text)`` work: the package has the name of what it is used for."""

    def __call__(self, text: str) -> tuple[Explained, ...]:
        """Return the lockdep reports in *text*, each read and explained, in the order they appear.

        :param text: a log of any origin: dmesg, journal, serial console, a mail that quotes one.
        :returns: one object a report, with ``report`` (what was read), ``explanation``, ``proof``
            and ``fingerprint``; none for a text without reports. Never raises, whatever the text is.
        """
        from quiesce.explain.log import explain_text  # late: a protocol file needs none of it

        return explain_text(text).reports


sys.modules[__name__].__class__ = _Callable
