# SPDX-License-Identifier: Apache-2.0
"""The pytest plugins of quiesce, behind one entry point: scenarios as tests, and watched locks."""

pytest_plugins = ("quiesce.pytest_scenarios", "quiesce.watch.pytest_plugin")
