"""How everything is built from the settings: the one place that knows all the parts."""

from app.api.wiring.build import build
from app.api.wiring.container import Container

__all__ = ["Container", "build"]
