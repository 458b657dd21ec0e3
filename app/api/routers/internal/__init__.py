"""The surface of the other services of Guance."""

from app.api.routers.internal import accounts, clients, events, marketplace, real_name, sessions, webhooks, workspaces

_MODULES = (clients, accounts, real_name, sessions, workspaces, marketplace, events, webhooks)
ROUTERS = tuple(router for module in _MODULES for router in module.ROUTERS)
