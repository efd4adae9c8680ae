# SPDX-License-Identifier: Apache-2.0
"""The models that are measured, in our language; beside them the same in Promela and in C."""
