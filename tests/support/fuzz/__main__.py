# SPDX-License-Identifier: Apache-2.0
"""``make fuzz SECONDS=600 SEED=1``: random protocols, until the time is over."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from fuzz.campaign import Campaign


def main() -> int:
    """Run a campaign; return 1 if there was a disagreement."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long (default: 60)")
    parser.add_argument(
        "--seed", type=int, default=0, help="number of the first protocol (default: 0)"
    )
    parser.add_argument(
        "--protocols", type=int, default=0, help="stop after so many (default: no limit)"
    )
    parser.add_argument(
        "--into", type=Path, help="also write each shrunk disagreement to this folder"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder), options.into)
        # SIGTERM ends it as Ctrl-C does: with the summary of what was compared until then.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            campaign.run(options.seed, options.seconds, options.protocols)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
    print(campaign.summary())
    return 1 if campaign.disagreements else 0


if __name__ == "__main__":
    sys.exit(main())
