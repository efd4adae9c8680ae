# SPDX-License-Identifier: Apache-2.0
"""From what a report says to what it means: an ``explanation``.

``modes`` and ``annotations`` know what was taken and how, ``cycle`` makes waiting tasks of a chain,
``table`` draws them, ``reasons`` and ``fixes`` judge them, one file in ``kinds/`` for each family of
kinds puts it together. ``fingerprint`` names the problem.
"""
