# SPDX-License-Identifier: Apache-2.0
"""Random protocols: quiesce against the oracle of ``tests/support/oracle``.

* ``draw``: protocol number N, as text
* ``compare``: the verdicts of the oracle and of quiesce on one protocol
* ``on_threads``: what real threads show of it, against what the oracle says is reachable
* ``shrink``: a smaller protocol with the same disagreement
* ``campaign``: many protocols, and what came out

``make fuzz SECONDS=600 SEED=1`` starts a campaign of ten minutes with protocol number 1.

Measured: protocols 5000 to 5107, those of ``tests/agreement/test_fuzz.py`` (``SEED=5000``); 8 are too large:
100 compared, 0 disagreements, 38 s of CPU time. Found: 44 deadlocks, 14 stuck threads, 5 lost wakeups,
22 livelocks, 24 starvations, 7 data races, 5 failed asserts, 6 out of range, 37 broken invariants, 7 vacuous,
11 not decided, 83 with something never executed, 15 without a violation. No longer campaign has been
completed. What never executed is not compared yet: the two differ on which lines count as statements.
"""
