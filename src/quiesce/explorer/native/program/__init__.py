# SPDX-License-Identifier: Apache-2.0
"""What the kernels are handed: packed states, and steps as a table of instructions."""
