"""Where the checkout is, and what a test's own process needs to import from it."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMPORTS = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
"""A variable for processes that import the product and `support`."""
