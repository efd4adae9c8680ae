# SPDX-License-Identifier: Apache-2.0
"""Textbook protocols whose numbers of states are published, in the protocol language.

They follow the models of the BEEM collection (R. Pelánek, "BEEM: Benchmarks for explicit model checkers",
SPIN 2007): one step of one process is one transition there, and one ``@atomic`` method here. Local
variables of a process that keep a stale value there are shared arrays here, indexed by the process,
since a local variable that is not needed any more takes no part in our states.
"""
