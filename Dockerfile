# Sealgate in a container: an unprivileged user, a slim base, packages checked against locks/run.lock.
#
#   docker build -t sealgate .
#   docker run -p 8750:8750 -v sealgate:/var/lib/sealgate -v "$PWD/gateway.yaml:/etc/sealgate/gateway.yaml:ro" sealgate
#
# The base is named by tag. For a release, pin it by digest: --build-arg BASE=python:3.13-slim-bookworm@sha256:...
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/build && python -m venv --without-pip /opt/sealgate
COPY locks/build.lock locks/run.lock locks/
RUN /opt/build/bin/pip install --require-hashes -r locks/build.lock \
    && /opt/build/bin/pip --python /opt/sealgate/bin/python install --require-hashes -r locks/run.lock
COPY pyproject.toml README.md LICENSE ./
COPY policies policies
COPY gateway gateway
COPY sealgate sealgate
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/build/bin/pip --python /opt/sealgate/bin/python install --no-deps dist/*.whl

FROM ${BASE}
RUN groupadd --gid 10001 sealgate \
    && useradd --uid 10001 --gid sealgate --no-create-home --home-dir /var/lib/sealgate --shell /usr/sbin/nologin sealgate \
    && install -d -o sealgate -g sealgate -m 0700 /var/lib/sealgate \
    && install -d -m 0755 /etc/sealgate
COPY --from=build /opt/sealgate /opt/sealgate
# The environment goes before the file: whatever gateway.yaml says, the address, port and state folder are the image's.
ENV PATH=/opt/sealgate/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SEALGATE__LISTEN__HOST=0.0.0.0 \
    SEALGATE__LISTEN__PORT=8750 \
    SEALGATE__STATE=/var/lib/sealgate \
    SEALGATE_STATE=/var/lib/sealgate
USER 10001:10001
VOLUME /var/lib/sealgate
EXPOSE 8750
HEALTHCHECK --interval=15s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8750/livez', timeout=2)"]
ENTRYPOINT ["sealgate"]
CMD ["serve", "--config", "/etc/sealgate/gateway.yaml"]
