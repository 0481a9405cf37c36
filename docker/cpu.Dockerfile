# edgecsp on a CPU, amd64 and arm64. How to build, load, start and update it: docker/README.md
#
#   BASE      any Debian or Ubuntu with Python 3.11 as python3
#   ENGINES   openvino: OpenVINO as well (amd64 alone; the faster engine there, 180 MB more)
ARG BASE=python:3.11-slim-bookworm

# pip and what makes a wheel: nothing of this stage reaches the image.
FROM ${BASE} AS tools
COPY docker/requirements-tools.txt /tmp/
RUN python3 -m venv /tools \
    && /tools/bin/python -m pip install --no-cache-dir --require-hashes --only-binary :all: \
        -r /tmp/requirements-tools.txt

FROM tools AS wheel
COPY . /src
RUN /tools/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels /src

FROM tools AS packages
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
ARG ENGINES=""
COPY docker/requirements-cpu.txt docker/requirements-openvino.txt docker/slim /tmp/
RUN python3 -m venv --without-pip /opt/edgecsp \
    && set -- /tools/bin/python -m pip --python /opt/edgecsp/bin/python install --no-cache-dir \
    && "$@" --require-hashes --only-binary :all: -r /tmp/requirements-cpu.txt \
    && case "${ENGINES}" in \
        "") ;; \
        openvino) "$@" --require-hashes --only-binary :all: -r /tmp/requirements-openvino.txt ;; \
        *) echo "ENGINES=${ENGINES}: openvino, or nothing" >&2; exit 2 ;; \
    esac \
    && /tmp/slim /opt/edgecsp/lib/python3*/site-packages
COPY --from=wheel /wheels /wheels
RUN /tools/bin/python -m pip --python /opt/edgecsp/bin/python install --no-cache-dir --no-index --no-deps /wheels/*.whl

FROM ${BASE} AS runtime
ARG BASE
ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="edgecsp" \
      org.opencontainers.image.description="CSP detectors on edge devices: a video goes in, boxes come out; CPU" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
# No build tools stay: the base's own pip goes, too.
RUN if python3 -m pip --version >/dev/null 2>&1; then python3 -m pip uninstall --yes pip setuptools wheel; fi \
    && groupadd --gid 10001 edgecsp \
    && useradd --uid 10001 --gid edgecsp --home-dir /var/lib/edgecsp --create-home --shell /usr/sbin/nologin edgecsp \
    && mkdir /data && chown edgecsp:edgecsp /data
ENV PATH=/opt/edgecsp/bin:$PATH \
    HOME=/var/lib/edgecsp \
    EDGECSP_HOME=/var/lib/edgecsp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY --from=packages /opt/edgecsp /opt/edgecsp
USER 10001
# Models, plans and their key; all else may be read-only.
VOLUME /var/lib/edgecsp
WORKDIR /data
HEALTHCHECK --interval=5m --timeout=60s --start-period=60s CMD ["edgecsp", "doctor"]
ENTRYPOINT ["edgecsp"]
CMD ["doctor"]
