"""Who counts: must be imported before anything that imports prometheus_client, which decides it then and for good."""

import atexit
import os
import shutil
import sys
import tempfile

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_made: list[str] = []


def together(arguments: list[str]) -> None:
    """Let several processes count in files of one folder, if the command line asks for several.

    An operator who has set the folder keeps it: it is to be empty when the server starts.
    """
    if _FOLDER in os.environ or not any(word.partition("=")[0] == "--workers" for word in arguments):
        return
    folder = os.environ[_FOLDER] = tempfile.mkdtemp(prefix="guance-metrics-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _made.append(folder)


def handed_over() -> tuple[str, bool]:
    """The folder, and whether it was made here: then whoever goes on in this process's place is to remove it."""
    return os.environ[_FOLDER], bool(_made)


together(sys.argv)
