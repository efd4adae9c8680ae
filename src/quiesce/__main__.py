# SPDX-License-Identifier: Apache-2.0
"""``python -m quiesce``"""

import sys

from quiesce.cli import main

sys.exit(main())
