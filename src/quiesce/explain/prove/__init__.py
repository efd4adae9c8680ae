# SPDX-License-Identifier: Apache-2.0
"""From an explanation to a scenario that is checked.

``claims`` says what of a report is to be checked; ``plan_cycle`` and ``plan_interrupt`` make the
scenario as data (``plan``), with ``lock_classes`` for its locks and ``quiesce.primitives.annotations``
for what annotations stand for. ``source`` writes it as a protocol file, ``check`` checks that file,
``proof`` judges the outcome.
"""
