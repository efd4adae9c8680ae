# SPDX-License-Identifier: Apache-2.0
"""Read and explain the reports of lockdep in any log.

Reading, one step a file: ``log_lines`` takes quotes and log prefixes off, ``titles`` knows the
headlines, ``find_reports`` finds where reports begin and end, ``unwrap`` joins torn lines, ``frames``
and ``lock_text`` read the two things that reports are made of, ``reader`` and one file for each
family of kinds (``circular``, ``irq_order``, ...) read the sections, ``read_log`` puts it together.
``model`` is what comes out.

Explaining: ``modes`` and ``annotations`` know what was taken and how, ``cycle`` makes waiting tasks of
a chain, ``interleaving`` draws them, ``reasons`` and ``fixes`` judge them, ``explain`` puts it
together as an ``explanation``.

Proving: ``scenario_cycle`` and ``scenario_irq`` make a ``scenario`` of a report, with
``scenario_kinds`` for its locks and ``stand_ins`` for what annotations stand for; ``claims`` says what
is to be checked, ``scenario_source`` writes the protocol file, ``scenario_run`` checks it, ``prove``
judges. Then ``render_*`` and ``to_json``.
"""
