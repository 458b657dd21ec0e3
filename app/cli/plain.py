"""No rich: typer, structlog and httpx load it when it is there, for colours that nobody sees in a log.

It and what it loads take some 4 MiB of a serving process. Must be imported before any of them.
"""

import os
import sys

os.environ.setdefault("TYPER_USE_RICH", "0")
if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # as if it were not installed, while they look for it
    import structlog.tracebacks  # noqa: F401 - and with it structlog.dev

    from app.core import outgoing  # noqa: F401 - httpx, whose door it is

    del sys.modules["rich"]
