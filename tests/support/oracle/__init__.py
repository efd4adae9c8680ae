# SPDX-License-Identifier: Apache-2.0
"""A second opinion: a small explorer, written from ``docs/language.md`` alone.

It shares no code with ``src/``: it reads the text of a protocol file with Python's ``ast``, has its own
definitions of the locks, takes every step at the finest grain, and reduces nothing. Fair loops are found by
fixpoints over sets of states; no strongly connected component is computed anywhere.

* ``declared``: what a file declares: variables, components, threads, properties
* ``expressions``: an expression as a function of the state
* ``inline``, ``code``: a thread as a list of operations, all calls inlined
* ``space``: steps, and every reachable state
* ``stuck``: deadlock, stuck thread, lost wakeup
* ``fixpoints``, ``forever``: livelock, starvation, ``@eventually``
* ``judge``: every verdict

It understands a part of the language, and refuses the rest with :class:`Unsupported`.
"""

from oracle.declared import Unsupported
from oracle.judge import Judgement, Options, judge

__all__ = ["Judgement", "Options", "Unsupported", "judge"]
