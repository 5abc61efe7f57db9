# The gateway in a container. Nothing secret is baked in: keys come from the environment at run time.
#
#   docker build -t autoshift .
#   docker run --rm -p 127.0.0.1:8080:8080 -e GATEWAY_KEY=try-me-on-this-machine \
#     -e AUTOSHIFT_SERVER__HOST=0.0.0.0 -e AUTOSHIFT_KEYS='[{"name": "me", "key_env": "GATEWAY_KEY"}]' \
#     autoshift serve --sandbox
#
# With the root read-only: --read-only --tmpfs /tmp; what must last is in /data.

# Pin it to a digest where builds must be the same, bit by bit.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY deploy/requirements-image.txt deploy/requirements-image.txt
RUN python -m venv /opt/autoshift \
 && /opt/autoshift/bin/pip install --no-cache-dir --require-hashes -r deploy/requirements-image.txt
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY app app
# What builds is not needed to run.
RUN /opt/autoshift/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
 && /opt/autoshift/bin/pip uninstall --yes --quiet hatchling pathspec pluggy trove-classifiers \
 && /opt/autoshift/bin/autoshift --version \
 && rm -rf /opt/autoshift/lib/python3.*/site-packages/pip*
# The default embedder needs no model. For embedder: {kind: fastembed} name one of fastembed's list
# (--build-arg EMBEDDER_MODEL=BAAI/bge-small-en-v1.5): it is fetched now, never at run time.
ARG EMBEDDER_MODEL=
RUN mkdir -p /opt/models \
 && if [ -n "$EMBEDDER_MODEL" ]; then FASTEMBED_CACHE_PATH=/opt/models /opt/autoshift/bin/python -c \
    'import sys; from fastembed import TextEmbedding; TextEmbedding(sys.argv[1])' "$EMBEDDER_MODEL"; fi

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin autoshift \
 && install -d -o autoshift -g autoshift /data
COPY --from=build /opt/autoshift /opt/autoshift
COPY --from=build /opt/models /opt/models
ENV PATH=/opt/autoshift/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FASTEMBED_CACHE_PATH=/opt/models \
    HF_HUB_OFFLINE=1 \
    AUTOSHIFT_CONFIG=/etc/autoshift/autoshift.yaml \
    AUTOSHIFT_STORE__PATH=/data
WORKDIR /data
USER 10001:10001
VOLUME /data
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["autoshift"]
CMD ["serve"]
