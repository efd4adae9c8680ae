# SPDX-License-Identifier: Apache-2.0
"""The compiled part of the native explorer. Every module here needs numba but ``kernel_cache``."""
