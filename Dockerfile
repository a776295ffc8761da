# Two images from one file:
#   docker build --target api --build-arg EXTRA=api .    the web process and the migrations, without torch
#   docker build --target worker .                       what trains; the same image with and without a GPU
#
# BASE_IMAGE may be any Debian-like image with Python 3.11 or newer and its venv module, one with CUDA as well.
# The torch wheel on PyPI brings its own CUDA libraries. Where there is no GPU, give the address of PyTorch's CPU index
# as PIP_EXTRA_INDEX_URL: the constraint then finds that build, which is some gigabytes smaller.
ARG BASE_IMAGE=python:3.11-slim-bookworm


FROM ${BASE_IMAGE} AS build
# pip reads these two from its environment; unset, it asks PyPI.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG EXTRA=server
ENV PATH=/opt/plinth/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /build
# Everything that others wrote comes first, with packages that are still empty, so that a change of ours installs nothing anew.
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN mkdir app migrations ml plinth store worker \
    && echo '__version__ = "0"' > plinth/__init__.py \
    && python3 -m venv /opt/plinth \
    && pip install --constraint constraints.txt ".[${EXTRA}]"
COPY . .
RUN pip install --no-deps --force-reinstall .


FROM ${BASE_IMAGE} AS runtime
ARG VERSION=development
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Plinth" \
      org.opencontainers.image.description="A self-hosted service for foundation models" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Group 0 may write /data, so any user id that a platform picks can; a new named volume takes over this ownership.
RUN useradd --uid 10001 --gid 0 --home-dir /data --no-create-home --shell /usr/sbin/nologin plinth \
    && install --directory --owner=10001 --group=0 --mode=0770 /data
COPY --from=build /opt/plinth /opt/plinth
# Other addresses than loopback are served only with a key: the API does not start without PLINTH_API_KEY.
# ONNX Runtime would note a device id and what it did, and send it home.
ENV PATH=/opt/plinth/bin:$PATH \
    HOME=/data \
    ORT_DISABLE_TELEMETRY=1 \
    PLINTH_HOME=/data \
    PLINTH_HOST=0.0.0.0 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:0
STOPSIGNAL SIGTERM


FROM runtime AS worker
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 CMD ["python", "-m", "store"]
CMD ["python", "-m", "worker"]


FROM runtime AS webhooks
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 CMD ["python", "-m", "store"]
CMD ["python", "-m", "worker.webhooks"]


FROM runtime AS api
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["python", "-m", "app"]
