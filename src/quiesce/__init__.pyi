# SPDX-License-Identifier: Apache-2.0
"""What the package offers, for type checkers; ``__init__.py`` imports it when it is asked for."""

from quiesce.explain.log import Explained
from quiesce.primitives import *  # noqa: F403
from quiesce.protocol import *  # noqa: F403
from quiesce.testing import check as check
from quiesce.testing import replay as replay

__all__: list[str]
__version__: str

def explain(text: str) -> tuple[Explained, ...]: ...
