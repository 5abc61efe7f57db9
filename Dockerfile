# The gateway in a container. Nothing secret is baked in: keys come from the environment at run time.

FROM python:3.13-slim AS build
WORKDIR /src
COPY deploy/requirements-image.txt deploy/requirements-image.txt
RUN python -m venv /opt/autoshift \
 && /opt/autoshift/bin/pip install --no-cache-dir --require-hashes -r deploy/requirements-image.txt
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY app app
RUN /opt/autoshift/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home autoshift \
 && install -d -o autoshift -g autoshift /data
COPY --from=build /opt/autoshift /opt/autoshift
ENV PATH=/opt/autoshift/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    AUTOSHIFT_CONFIG=/etc/autoshift/autoshift.yaml \
    AUTOSHIFT_STORE__PATH=/data
USER autoshift
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
CMD ["autoshift", "serve"]
