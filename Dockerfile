# Built in two steps, so that the image holds neither pip's cache nor anything that builds.
FROM python:3.11-slim-bookworm AS builder
RUN python -m venv /venv
COPY requirements.lock .
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock

FROM python:3.11-slim-bookworm
# Production by default: the service then refuses to start with a development secret or notifier.
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GUANCE_ENVIRONMENT=production
RUN useradd --system --uid 10001 --home-dir /srv --shell /usr/sbin/nologin guance \
    && install --directory --owner=guance --group=guance /srv/var
WORKDIR /srv
COPY --from=builder /venv /venv
COPY alembic.ini ./
COPY migrations ./migrations
COPY app ./app
USER guance
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
CMD ["python", "-m", "app", "serve", "--host", "0.0.0.0"]
