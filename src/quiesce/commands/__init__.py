# SPDX-License-Identifier: Apache-2.0
"""What each subcommand does; ``cli.py`` reads the command line and calls one of these."""
