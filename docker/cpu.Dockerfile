# edgecsp on a CPU, amd64 and arm64. How to build, load, start and update it: docker/README.md
#
#   BASE      any Debian or Ubuntu with Python 3.11 as python3
#   ENGINES   openvino: the faster engine on amd64; arm64 has no use of it and gets ncnn. ENGINES= leaves it out
# The stage `rpi` is for a Raspberry Pi: the same with libcamera. --target rpi
ARG BASE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

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
ARG ENGINES=openvino
COPY docker/requirements-cpu.txt docker/requirements-openvino.txt docker/slim /tmp/
# hadolint ignore=SC2209
RUN python3 -m venv --without-pip /opt/edgecsp \
    && set -- /tools/bin/python -m pip --python /opt/edgecsp/bin/python install --no-cache-dir \
    && "$@" --require-hashes --no-deps --only-binary :all: -r /tmp/requirements-cpu.txt \
    && case "${ENGINES}" in \
        "") ;; \
        openvino) "$@" --require-hashes --no-deps --only-binary :all: -r /tmp/requirements-openvino.txt ;; \
        *) echo "ENGINES=${ENGINES}: openvino, or nothing" >&2; exit 2 ;; \
    esac \
    && STRIP=strip /tmp/slim /opt/edgecsp/lib/python3*/site-packages
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
COPY docker/health /usr/local/bin/edgecsp-health
COPY --from=packages /opt/edgecsp /opt/edgecsp
USER 10001
# Models, plans and their key; all else may be read-only.
VOLUME /var/lib/edgecsp
WORKDIR /data
HEALTHCHECK --interval=5m --timeout=60s --start-period=60s CMD ["edgecsp-health"]
ENTRYPOINT ["edgecsp"]
CMD ["doctor"]

# A Raspberry Pi's camera: `gst:libcamerasrc ! ...`. Debian's libcamera is older than the Pi 5: Raspberry Pi's own.
FROM runtime AS rpi
ARG RPI_APT=https://archive.raspberrypi.com/debian
# Raspberry Pi's key for its packages: another one is refused.
ARG RPI_KEY=CF8A1AF502A2AA2D763BAE7E82B129927FA3303E
USER 0
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates \
        gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
    && if [ -n "${RPI_APT}" ]; then \
        apt-get install -y --no-install-recommends curl gnupg \
        && curl -fsSL "${RPI_APT}/raspberrypi.gpg.key" -o /tmp/raspberrypi.asc \
        && gpg --batch --with-colons --import-options show-only --import /tmp/raspberrypi.asc > /tmp/keys \
        && if [ "$(awk -F: '$1 == "pub" {p = 1} $1 == "fpr" && p {print $10; p = 0}' /tmp/keys)" != "${RPI_KEY}" ]; then \
            echo "raspberrypi.gpg.key holds another key than ${RPI_KEY}:" >&2; cat /tmp/keys >&2; exit 1; \
        fi \
        && install -m 644 /tmp/raspberrypi.asc /usr/share/keyrings/raspberrypi.asc \
        && echo "deb [signed-by=/usr/share/keyrings/raspberrypi.asc] ${RPI_APT} bookworm main" \
            > /etc/apt/sources.list.d/raspberrypi.list \
        && apt-get purge -y --autoremove curl gnupg && apt-get update; \
    fi \
    && apt-get install -y --no-install-recommends gstreamer1.0-libcamera libcamera-ipa \
    && usermod --append --groups video edgecsp \
    && rm -rf /var/lib/apt/lists/* /tmp/raspberrypi.asc /tmp/keys /root/.gnupg
USER 10001

# The image.
FROM runtime AS cpu
