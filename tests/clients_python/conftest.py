"""The client is a package of its own, which the gateway never imports: here it is found in its folder."""

from __future__ import annotations

import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent.parent / "clients" / "python"
sys.path.insert(0, str(PACKAGE / "src"))
