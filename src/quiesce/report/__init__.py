# SPDX-License-Identifier: Apache-2.0
"""Results as people and programs read them."""
