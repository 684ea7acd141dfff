# The image holds the gateway and nothing of its configuration: docs/containers.md says how that
# comes in. tests/test_containers.py runs the steps below without Docker, so they are kept plain.

FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv --without-pip /opt/dragoman
COPY requirements-extras.lock ./
# With the extras for PostgreSQL and OpenTelemetry. Wheels only: a package that would need a compiler is
# refused here instead of failing obscurely.
RUN python -m pip --python /opt/dragoman/bin/python install --quiet --no-cache-dir --disable-pip-version-check \
    --only-binary=:all: --require-hashes -r requirements-extras.lock
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m pip --python /opt/dragoman/bin/python install --quiet --no-cache-dir --disable-pip-version-check \
    --no-deps .

FROM python:3.12-slim
COPY --from=build /opt/dragoman /opt/dragoman
# 1000 is also the user that Hugging Face gives a Space.
RUN install -d -m 700 -o 1000 -g 1000 /data
ENV PATH="/opt/dragoman/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LISTEN=0.0.0.0 \
    PORT=7860 \
    DRAGOMAN_DATA_DIR=/data
WORKDIR /app
USER 1000:1000
VOLUME /data
EXPOSE 7860
# Never through a proxy, whatever http_proxy says, and at the port that counts if both are set.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:%s/ready' % (os.environ.get('DRAGOMAN_PORT') or os.environ['PORT']), timeout=4)"]
ENTRYPOINT ["dragoman"]
CMD ["serve"]
