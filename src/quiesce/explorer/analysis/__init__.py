# SPDX-License-Identifier: Apache-2.0
"""What the source tells about steps, for every engine: footprints, partial order, interchangeable threads."""
