# SPDX-License-Identifier: Apache-2.0
"""quiesce runs, proves and explains locking protocols."""

__version__ = "0.1.0"
