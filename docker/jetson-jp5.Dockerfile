# edgecsp on a Jetson Xavier, or an Orin with JetPack 5: L4T r35.4, CUDA 11.4, TensorRT 8.5, Ubuntu 20.04, Python 3.8.
# How to build, load, start and update it, and what goes wrong: docker/README.md
#
#   BASE   CUDA 11.4 and TensorRT with its binding for Python 3.8, arm64; JetPack's own holds CUDA's compiler, too
#   CUDA_BASE   what pycuda is compiled on, when BASE has no CUDA headers [default: BASE]
# The stages up to `core` take nothing of NVIDIA's.
ARG BASE=nvcr.io/nvidia/l4t-jetpack:r35.4.1@sha256:d1c8e971ab994235840eacc31c4ef4173bf9156317b1bf8aabe7e01eb21b2a0e
ARG CUDA_BASE=${BASE}

FROM ${BASE} AS python
ENV DEBIAN_FRONTEND=noninteractive
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3 \
        gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
    && rm -rf /var/lib/apt/lists/*

# pip and what makes wheels: nothing of this stage reaches the image.
FROM python AS tools
COPY docker/requirements-tools.txt /tmp/
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /tools \
    && /tools/bin/python -m pip install --no-cache-dir --require-hashes --only-binary :all: \
        -r /tmp/requirements-tools.txt

FROM tools AS wheel
COPY . /src
RUN /tools/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels /src

FROM tools AS packages
COPY docker/requirements-jp5.txt docker/slim /tmp/
COPY --from=wheel /wheels /wheels
RUN python3 -m venv --without-pip /opt/edgecsp \
    && set -- /tools/bin/python -m pip --python /opt/edgecsp/bin/python install --no-cache-dir \
    && "$@" --require-hashes --no-deps --only-binary :all: -r /tmp/requirements-jp5.txt \
    && "$@" --no-index --no-deps /wheels/*.whl \
    && /tmp/slim /opt/edgecsp/lib/python3*/site-packages

# Everything but the packages.
FROM python AS runtime
ARG BASE
ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="edgecsp" \
      org.opencontainers.image.description="CSP detectors on edge devices: a video goes in, boxes come out; Jetson, JetPack 5" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
# video: cameras and the chip's own devices belong to that group.
RUN groupadd --gid 10001 edgecsp \
    && useradd --uid 10001 --gid edgecsp --groups video --home-dir /var/lib/edgecsp --create-home \
        --shell /usr/sbin/nologin edgecsp \
    && mkdir /data && chown edgecsp:edgecsp /data
# OPENBLAS_CORETYPE: OpenBLAS takes a board's cores for others and dies of an illegal instruction.
ENV PATH=/opt/edgecsp/bin:$PATH \
    HOME=/var/lib/edgecsp \
    EDGECSP_HOME=/var/lib/edgecsp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OPENBLAS_CORETYPE=ARMV8 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=all
COPY docker/health /usr/local/bin/edgecsp-health
USER 10001
# Models, plans and their key; all else may be read-only.
VOLUME /var/lib/edgecsp
WORKDIR /data
HEALTHCHECK --interval=5m --timeout=120s --start-period=120s CMD ["edgecsp-health"]
ENTRYPOINT ["edgecsp"]
CMD ["doctor"]

# The image without TensorRT, which runs on the CPU.
FROM runtime AS core
COPY --from=packages /opt/edgecsp /opt/edgecsp

FROM ${CUDA_BASE} AS cuda
ENV DEBIAN_FRONTEND=noninteractive
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY docker/requirements-tools.txt docker/requirements-jp5.txt docker/requirements-jp5-cuda.txt /tmp/
# pycuda's setup imports numpy, does not ask the environment where CUDA is, and would use cuRAND.
RUN printf 'CUDA_ROOT = "/usr/local/cuda"\nCUDA_ENABLE_CURAND = False\n' > /etc/aksetup-defaults.py \
    && python3 -m venv /tools \
    && set -- /tools/bin/python -m pip \
    && "$@" install --no-cache-dir --require-hashes --only-binary :all: -r /tmp/requirements-tools.txt \
    && "$@" install --no-cache-dir --no-deps --require-hashes --only-binary :all: -r /tmp/requirements-jp5.txt \
    && "$@" wheel --no-cache-dir --no-deps --no-build-isolation --require-hashes \
        --only-binary :all: --no-binary pycuda --wheel-dir /wheels -r /tmp/requirements-jp5-cuda.txt

# JetPack's binding of TensorRT is for this Python: it is shown to the environment, not copied.
FROM tools AS cuda-packages
COPY --from=packages /opt/edgecsp /opt/edgecsp
COPY --from=cuda /wheels /wheels
RUN /tools/bin/python -m pip --python /opt/edgecsp/bin/python install --no-cache-dir --no-index --no-deps /wheels/*.whl \
    && if [ ! -d /usr/lib/python3.8/dist-packages/tensorrt ]; then \
        echo "BASE has no TensorRT for Python 3.8: /usr/lib/python3.8/dist-packages/tensorrt" >&2; exit 1; \
    fi \
    && ln -s /usr/lib/python3.8/dist-packages/tensorrt* /opt/edgecsp/lib/python3.8/site-packages/

# The image.
FROM runtime AS jetson
COPY --from=cuda-packages /opt/edgecsp /opt/edgecsp
