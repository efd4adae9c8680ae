# SPDX-License-Identifier: Apache-2.0
"""From a scenario written in Python to a table of atomic steps: see ``program.compile_scenario``."""
