# SPDX-License-Identifier: Apache-2.0
"""Read and explain the reports of lockdep."""
