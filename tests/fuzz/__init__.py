# SPDX-License-Identifier: Apache-2.0
"""Random protocols: quiesce against the oracle of ``tests/oracle``.

* ``draw``: protocol number N, as text
* ``compare``: the verdicts of the oracle and of quiesce on one protocol
* ``on_threads``: what real threads show of it, against what the oracle says is reachable
* ``shrink``: a smaller protocol with the same disagreement
* ``campaign``: many protocols, and what came out

``make fuzz SECONDS=600 SEED=1`` starts a campaign of ten minutes with protocol number 1.
"""
