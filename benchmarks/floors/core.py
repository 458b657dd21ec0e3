"""The least that other operations cost, on SQLAlchemy Core."""

from fastapi import FastAPI, Response

app = FastAPI()


@app.get("/ready")
async def ready() -> Response:
    return Response()
