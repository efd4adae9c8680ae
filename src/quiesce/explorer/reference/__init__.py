# SPDX-License-Identifier: Apache-2.0
"""The reference explorer: the stepper that anyone can read, its graph, and what is decided on it."""
