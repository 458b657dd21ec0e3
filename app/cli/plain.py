"""No rich: typer and structlog load it when it is there, for colours that nobody sees in a log.

It and what it loads take 8 MiB of a serving process. Must be imported before either.
"""

import os
import sys

os.environ["TYPER_USE_RICH"] = "0"
sys.modules["rich"] = None  # type: ignore[assignment]  # to structlog's import it is not installed
