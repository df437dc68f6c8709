# syntax=docker/dockerfile:1

# --- build: the wheel of `understudy`, and an environment with the hashed runtime dependencies ------------
FROM python:3.11-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build

# The build backend comes from the same hashed lock as a developer's environment.
COPY requirements.lock ./
RUN python -m venv /opt/build && /opt/build/bin/pip install --require-hashes -r requirements.lock

# Dependencies first: they change less often than the code, so their layer is kept.
COPY requirements-runtime.lock ./
RUN python -m venv --without-pip /opt/understudy \
    && pip --python /opt/understudy/bin/python install --require-hashes -r requirements-runtime.lock

COPY pyproject.toml README.md ./
COPY understudy ./understudy
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip --python /opt/understudy/bin/python install --no-deps --no-index /wheels/*.whl

# --- run: no compiler, no pip in the environment, no development dependency --------------------------------
FROM python:3.11-slim-bookworm

# /files is where a volume for FILES_ROOT goes: a new one takes over its owner.
RUN useradd --system --uid 10001 --no-create-home understudy && install --directory --owner=understudy /files
COPY --from=build /opt/understudy /opt/understudy

# `middleware`, `tasks` and `workflows` are names too general for site-packages: they are an application here.
WORKDIR /app
COPY middleware ./middleware
COPY tasks ./tasks
COPY workflows ./workflows

ENV PATH=/opt/understudy/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

USER understudy
# SIGTERM lets running work finish within UNDERSTUDY_SHUTDOWN_TIMEOUT and hands the rest back.
STOPSIGNAL SIGTERM
ENTRYPOINT ["understudy"]
CMD ["worker"]
