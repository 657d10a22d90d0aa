# Folds progress events into one honest progress per session
# docker build -f deploy/images/progress.Dockerfile .

# Debian with Python 3.11 and pip; both stages start from it, since a virtual environment belongs to one Python.
ARG BASE_IMAGE=python:3.11-slim-bookworm

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
COPY services/progress/ services/progress/
RUN /opt/build/bin/python tools/install_parts.py --into /opt/triptych \
    ./protos ./common ./services/progress

FROM ${BASE_IMAGE} AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="triptych-progress" \
      org.opencontainers.image.description="Folds progress events into one honest progress per session" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --no-log-init --home-dir /var/lib/triptych --create-home triptych
USER 10001:10001
WORKDIR /var/lib/triptych
# Nothing is written into the image at run time: the root may be read-only, with /tmp in memory.
ENV PATH=/opt/triptych/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TRIPTYCH_LISTEN=0.0.0.0:50054 \
    TRIPTYCH_METRICS_LISTEN=0.0.0.0:9090
EXPOSE 50054 9090
HEALTHCHECK --interval=10s --timeout=20s --start-period=30s --retries=3 CMD ["triptych-health"]
ENTRYPOINT ["triptych-progress"]

FROM runtime AS cpu
COPY --from=build /opt/triptych /opt/triptych
