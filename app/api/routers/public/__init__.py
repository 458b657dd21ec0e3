"""The surface of the frontend."""

from app.api.routers.public import accounts, activity, credentials, operations, password, profile, sessions

_MODULES = (accounts, sessions, profile, credentials, password, activity, operations)
ROUTERS = tuple(router for module in _MODULES for router in module.ROUTERS)
