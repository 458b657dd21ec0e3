# Debian's own Python: the end image has never held pip, and `make image-check` runs these steps in a debootstrap tree.
FROM debian:bookworm-slim AS builder
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 python3-pip
COPY requirements.lock /build/
RUN python3 -m venv --without-pip /venv \
    && python3 -m pip --python /venv/bin/python install --no-cache-dir --no-compile --disable-pip-version-check \
       --only-binary :all: --require-hashes -r /build/requirements.lock
COPY alembic.ini /srv/
COPY migrations /srv/migrations
COPY app /srv/app
# The root file system is read-only where this runs: the bytecode is made here, and believed without a look at the source.
RUN /venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /venv/lib /srv \
    && chmod -R go-w,a+rX /venv /srv

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="guance-account-service" \
      org.opencontainers.image.description="Account management of the Guance Billing Center"
# tzdata is among the packages of the lock; the certificates are for databases and providers that are asked over TLS.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb \
    && useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin guance \
    && install --directory --owner=guance --group=guance --mode=0700 /srv/var
COPY --from=builder /venv /venv
COPY --from=builder /srv /srv
# Production by default: the service then refuses to start with a development secret or notifier.
ENV PATH=/venv/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GUANCE_ENVIRONMENT=production
WORKDIR /srv
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# Whether the process answers. Whether it may be given traffic is /readyz, which the proxy asks: a database that is away
# is no reason to restart every server.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8000, timeout=2); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["python", "-m", "app"]
CMD ["serve", "--host", "0.0.0.0", "--workers", "2"]
