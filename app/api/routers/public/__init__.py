"""The surface of the frontend."""

from app.api.routers.public import (
    accounts,
    activity,
    cloud_accounts,
    credentials,
    operations,
    password,
    profile,
    real_name,
    sessions,
    settlement,
)

_MODULES = (
    accounts,
    sessions,
    profile,
    credentials,
    password,
    real_name,
    cloud_accounts,
    settlement,
    activity,
    operations,
)
ROUTERS = tuple(router for module in _MODULES for router in module.ROUTERS)
