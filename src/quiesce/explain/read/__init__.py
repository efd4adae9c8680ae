# SPDX-License-Identifier: Apache-2.0
"""From the text of a log to what its reports say; nothing is concluded here.

One step a file: ``log_lines`` takes quotes and log prefixes off, ``titles`` recognizes headlines,
``find_reports`` finds where reports begin and end, ``unwrap`` joins torn lines, ``frames`` and
``lock_text`` read the two things that reports are made of, ``reader`` and one file in ``kinds/``
read the sections, ``read_log`` puts it together. ``model`` is what comes out.
"""
