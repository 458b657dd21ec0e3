"""Calls of cloud marketplaces. What is genuine and how it is answered is the provider's module's business."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from app.api.deps import container_of
from app.api.pages import page
from app.services.marketplace import Answered

router = APIRouter(include_in_schema=False)
ROUTERS = (router,)

_METHODS = ["GET", "HEAD", "POST"]


@router.api_route("/marketplace/{provider}", methods=_METHODS)
@router.api_route("/marketplace/{provider}/{channel:path}", methods=_METHODS)
async def receive(request: Request, provider: str, channel: str = "") -> Response:
    answer = await _pass_on(request, provider, channel)
    if answer.claim:
        spa = str(container_of(request).settings.spa_url).rstrip("/")
        return RedirectResponse(f"{spa}/marketplace?claim={answer.claim}", answer.status)
    if answer.page:
        return page(answer.page, answer.status, request.headers.get("accept-language"))
    return Response(answer.body, answer.status, answer.headers, media_type=answer.media_type)


async def _pass_on(request: Request, provider: str, channel: str) -> Answered:
    return await container_of(request).marketplace.receive(
        provider=provider,
        channel=channel,
        method=request.method,
        query=request.query_params.multi_items(),
        headers=dict(request.headers.items()),
        body=await request.body(),
    )
