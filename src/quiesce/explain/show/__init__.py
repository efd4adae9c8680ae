# SPDX-License-Identifier: Apache-2.0
"""An explained log as text, Markdown, HTML and JSON."""
