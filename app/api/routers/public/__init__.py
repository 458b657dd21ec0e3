"""The surface of the frontend."""

from app.api.routers.public import accounts, activity, credentials, operations, password, profile, real_name, sessions

_MODULES = (accounts, sessions, profile, credentials, password, real_name, activity, operations)
ROUTERS = tuple(router for module in _MODULES for router in module.ROUTERS)
