"""On what was measured, and when."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone

from shared.server import Server


def circumstances(server: Server) -> dict:
    """The date, the machine and the server's settings, as the results begin with them."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "machine": platform.machine(),
        "settings": server.settings(),
    }
