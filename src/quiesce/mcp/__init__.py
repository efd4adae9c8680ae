# SPDX-License-Identifier: Apache-2.0
"""quiesce as a server of tools for language models (Model Context Protocol); ``quiesce mcp`` starts it."""

RAN = 100
"""Added to the exit code by the limited process, so that one that ends otherwise gives no verdict."""
