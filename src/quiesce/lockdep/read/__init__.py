# SPDX-License-Identifier: Apache-2.0
"""What a running kernel exports about its locks: one file for each format, and which one a text is."""
