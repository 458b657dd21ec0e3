"""The token endpoint."""

from fastapi import APIRouter, Request, Response

from app.api.answers import LIMITED, problems, together
from app.api.deps import Anonymous
from app.api.oauth import BODY, ERRORS, read_token_request
from app.api.routes import Route
from app.api.schemas.clients import TokenOut
from app.api.service_deps import TOKEN_PATH, Clients
from app.core.errors import BodyTooLarge, BodyTooSlow, NotReady

router = APIRouter(tags=["tokens"], route_class=Route, dependencies=[Anonymous])
ROUTERS = (router,)


@router.post(
    TOKEN_PATH,
    summary="Get an access token",
    description="OAuth 2.0 client credentials (RFC 6749 §4.4), the client authenticating by `client_secret_basic` or "
    "`client_secret_post`. Without `scope` the token has all of the client's.",
    responses=together(problems(*LIMITED, BodyTooSlow, BodyTooLarge, NotReady), ERRORS),
    openapi_extra=BODY,
)
async def issue_token(request: Request, response: Response, clients: Clients) -> TokenOut:
    asked = await read_token_request(request)
    grant = await clients.grant(
        grant_type=asked.grant_type, client_id=asked.client_id, secret=asked.secret, scope=asked.scope
    )
    response.headers["Pragma"] = "no-cache"  # RFC 6749 §5.1
    return TokenOut(
        access_token=grant.access_token, token_type="Bearer", expires_in=grant.expires_in, scope=" ".join(grant.scopes)
    )
