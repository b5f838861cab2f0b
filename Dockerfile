# The service, ready to serve with all shipped models:
#
#   docker build -t twinlens .
#   docker run --rm --read-only --tmpfs /tmp -p 127.0.0.1:8000:8000 twinlens
#
# docs/deploy.md says what can be set.

ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS build

# Where torch and torchvision come from: empty for pip's own index, whose Linux build runs on CUDA
# and on the CPU; the address of PyTorch's CPU index for an image several gigabytes smaller.
ARG TORCH_INDEX=""
# Which versions; pyproject.toml has the last word on what is too old.
ARG TORCH="torch torchvision"
# Extras of pyproject.toml, such as "[training]" for an image that also trains.
ARG EXTRAS=""

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

RUN python -m venv --without-pip /opt/twinlens
# A layer of its own: it is most of the image, and changes the least.
# hadolint ignore=DL3013
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/twinlens/bin/python install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} $TORCH

# The other libraries, in a layer that only a change of pyproject.toml makes anew.
COPY pyproject.toml README.md LICENSE ./
# hadolint ignore=DL3013
RUN --mount=type=cache,target=/root/.cache/pip \
    mkdir app model_store training \
    && pip --python /opt/twinlens/bin/python install ".${EXTRAS}" \
    && pip --python /opt/twinlens/bin/python uninstall --yes twinlens

COPY app app
COPY model_store model_store
COPY training training
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/twinlens/bin/python install --no-deps . \
    && mkdir /models \
    && cp -r model_store/checkpoints/. /models \
    && /opt/twinlens/bin/python -m model_store --store /models import photos \
    && /opt/twinlens/bin/python -m model_store --store /models default photos \
    && /opt/twinlens/bin/python -m model_store --store /models list

# Converted for the CPU's engine here, once, and not at every start of every container.
RUN TWINLENS_MODEL_STORE=/models TWINLENS_ENGINE_CACHE=/converted \
    /opt/twinlens/bin/python -m app convert


FROM python:${PYTHON_VERSION}-slim

ARG VERSION=0.1.0
ARG REVISION=""
LABEL org.opencontainers.image.title="Twinlens" \
      org.opencontainers.image.description="Are these two images the same thing? A calibrated image-comparison service." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

RUN groupadd --system --gid 10001 twinlens \
    && useradd --system --uid 10001 --gid twinlens --no-create-home --home-dir /tmp twinlens
COPY --from=build /opt/twinlens /opt/twinlens
COPY --from=build --chown=10001:10001 /models /models
COPY --from=build --chown=10001:10001 /converted /converted

# Threads are left to the service, which makes as many as the container's CPU quota allows.
ENV PATH=/opt/twinlens/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TWINLENS_HOST=0.0.0.0 \
    TWINLENS_PORT=8000 \
    TWINLENS_MODEL_STORE=/models \
    TWINLENS_ENGINE_CACHE=/converted
VOLUME ["/models", "/converted"]
WORKDIR /tmp
USER 10001:10001
EXPOSE 8000

# http.client knows no proxies, which a health check must not go through. What is asked is where the
# service listens: a connection to 0.0.0.0 or :: comes to the container itself.
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --start-interval=2s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection(os.environ['TWINLENS_HOST'], int(os.environ['TWINLENS_PORT']), timeout=4); c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"]

# SIGTERM drains (TWINLENS_DRAIN_SECONDS, 25 by default): allow the stop longer than that.
STOPSIGNAL SIGTERM
CMD ["python", "-m", "app"]
