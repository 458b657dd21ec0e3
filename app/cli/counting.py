"""Who counts: must be imported before anything that imports prometheus_client, which decides it then and for good."""

import atexit
import os
import shutil
import sys
import tempfile

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def together(arguments: list[str]) -> None:
    """Let several processes count in files of one folder, if the command line asks for several.

    An operator who has set the folder keeps it: it is to be empty when the server starts.
    """
    if _FOLDER in os.environ or not any(word.partition("=")[0] == "--workers" for word in arguments):
        return
    folder = os.environ[_FOLDER] = tempfile.mkdtemp(prefix="guance-metrics-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


together(sys.argv)
