# SPDX-License-Identifier: Apache-2.0
"""Planted bugs: what a checker of this protocol has to find, each with a twin that holds.

A bug is the real class with one thing changed. ``Planted(bug=NAME)`` is the scenario in which it shows,
``Planted(bug=NAME, fixed=True)`` its twin: the same without the bug. ``docs/planted_bugs.md`` is the
table, ``docs/kvm.md`` says which behavior of the model each one takes away.
"""

from quiesce.kvm.planted.bug import Bug
from quiesce.kvm.planted.scenario import Planted, planted, twin
from quiesce.kvm.planted.table import PLANTED

__all__ = ["PLANTED", "Bug", "Planted", "planted", "twin"]
