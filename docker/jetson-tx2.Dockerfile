# edgecsp on a Jetson TX2: JetPack 4.6.x (L4T R32.7), CUDA 10.2, TensorRT 8.2.1, Ubuntu 18.04, Python 3.8.
# How to build, load, start and update it, and what goes wrong: docker/README.md
#
#   BASE             TensorRT's libraries on Ubuntu 18.04, arm64
#   TENSORRT_WHEEL   a wheel of TensorRT's binding for Python 3.8, as a path in this checkout; else it is built
#   L4T_APT, L4T     NVIDIA's packages for this board
# The stages up to `core` take nothing of NVIDIA's: docker/check-build builds them on a PC.
# Not by digest: none of this one was available. `docker buildx imagetools inspect` prints it.
ARG BASE=nvcr.io/nvidia/l4t-tensorrt:r8.2.1-runtime

FROM ${BASE} AS python
ENV DEBIAN_FRONTEND=noninteractive
# NVIDIA's image names a package server that only NVIDIA reaches: cuda.list. JetPack's Python is 3.6: Ubuntu's 3.8.
# hadolint ignore=DL3008
RUN rm -f /etc/apt/sources.list.d/cuda.list \
    && apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
        gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
    && if ! command -v python3.8; then apt-get install -y --no-install-recommends python3.8; fi \
    && rm -rf /var/lib/apt/lists/*

# pip and what makes wheels: nothing of this stage reaches the image.
FROM python AS tools
COPY docker/requirements-tools.txt /tmp/
# hadolint ignore=DL3008
RUN if ! python3.8 -c 'import ensurepip' 2>/dev/null; then \
        apt-get update && apt-get install -y --no-install-recommends python3.8-venv \
            && rm -rf /var/lib/apt/lists/*; \
    fi \
    && python3.8 -m venv /tools \
    && /tools/bin/python -m pip install --no-cache-dir --require-hashes --only-binary :all: \
        -r /tmp/requirements-tools.txt

FROM tools AS wheel
COPY . /src
RUN /tools/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels /src

FROM tools AS packages
COPY docker/requirements-tx2.txt docker/slim /tmp/
COPY --from=wheel /wheels /wheels
RUN python3.8 -m venv --without-pip /opt/edgecsp \
    && set -- /tools/bin/python -m pip --python /opt/edgecsp/bin/python install --no-cache-dir \
    && "$@" --require-hashes --no-deps --only-binary :all: -r /tmp/requirements-tx2.txt \
    && "$@" --no-index --no-deps /wheels/*.whl \
    && /tmp/slim /opt/edgecsp/lib/python3*/site-packages

# Everything but the packages.
FROM python AS runtime
ARG BASE
ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="edgecsp" \
      org.opencontainers.image.description="CSP detectors on edge devices: a video goes in, boxes come out; Jetson TX2" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
# video: cameras and the chip's own devices belong to that group.
RUN groupadd --gid 10001 edgecsp \
    && useradd --uid 10001 --gid edgecsp --groups video --home-dir /var/lib/edgecsp --create-home \
        --shell /usr/sbin/nologin edgecsp \
    && mkdir /data && chown edgecsp:edgecsp /data
# OPENBLAS_CORETYPE: OpenBLAS takes the board's cores for others and dies of an illegal instruction.
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

# TensorRT's binding and pycuda, compiled against JetPack's own libraries.
FROM tools AS cuda
ARG L4T_APT=https://repo.download.nvidia.com/jetson
ARG L4T=r32.7
ARG TENSORRT=8.2.1-1+cuda10.2
# NVIDIA's key for these packages: another one is refused.
ARG L4T_KEY=3C6D1FF3100C8C3ABB0869C0E6543461A9996195
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# The empty file: nvidia-l4t-core asks which board it is on before it installs, and docker build is on none.
# hadolint ignore=DL3008
RUN mkdir -p /opt/nvidia/l4t-packages \
    && touch /opt/nvidia/l4t-packages/.nv-l4t-disable-boot-fw-update-in-preinstall \
    && apt-get update && apt-get install -y --no-install-recommends curl gnupg \
    && curl -fsSL "${L4T_APT}/jetson-ota-public.asc" -o /etc/apt/trusted.gpg.d/jetson-ota-public.asc \
    && gpg --batch --with-colons --import-options show-only --import /etc/apt/trusted.gpg.d/jetson-ota-public.asc \
        > /tmp/keys \
    && if [ "$(awk -F: '$1 == "pub" {p = 1} $1 == "fpr" && p {print $10; p = 0}' /tmp/keys)" != "${L4T_KEY}" ]; then \
        echo "jetson-ota-public.asc holds another key than ${L4T_KEY}:" >&2; cat /tmp/keys >&2; exit 1; \
    fi \
    && printf 'deb %s/%s %s main\n' "${L4T_APT}" common "${L4T}" "${L4T_APT}" t186 "${L4T}" \
        > /etc/apt/sources.list.d/nvidia-l4t.list \
    && apt-get update \
    && apt-get install -y --no-install-recommends build-essential cmake git python3.8-dev cuda-toolkit-10-2 \
        "libnvinfer8=${TENSORRT}" "libnvinfer-dev=${TENSORRT}" \
        "libnvinfer-plugin8=${TENSORRT}" "libnvinfer-plugin-dev=${TENSORRT}" \
        "libnvparsers8=${TENSORRT}" "libnvparsers-dev=${TENSORRT}" \
        "libnvonnxparsers8=${TENSORRT}" "libnvonnxparsers-dev=${TENSORRT}" \
    && rm -rf /var/lib/apt/lists/*
# JetPack's binding is for Python 3.6. The commit is the tag 8.2.1 of NVIDIA's; -j12 is too much for 8 GB.
ARG TENSORRT_TREE=6f38570b74066ef464744bc789f8512191f1cbc0
ARG TENSORRT_WHEEL=""
ENV PATH=/tools/bin:/usr/local/cuda-10.2/bin:$PATH
WORKDIR /ext
COPY . /src
RUN if [ -n "${TENSORRT_WHEEL}" ]; then install -D -t /wheels "/src/${TENSORRT_WHEEL}"; else \
        git init --quiet /ext/TensorRT \
        && git -C /ext/TensorRT fetch --depth 1 https://github.com/NVIDIA/TensorRT "${TENSORRT_TREE}" \
        && git -C /ext/TensorRT checkout --quiet --detach FETCH_HEAD \
        && ln -s /usr/include/python3.8 /ext/python3.8 \
        && ln -s "$(/tools/bin/python -c 'import pybind11, os; print(os.path.dirname(pybind11.__file__))')" /ext/pybind11 \
        && mkdir -p /ext/TensorRT/parsers/onnx \
        && ln -sf /usr/include/aarch64-linux-gnu/NvOnnxParser.h /ext/TensorRT/parsers/onnx/ \
        && sed -i 's/-j12/-j4/' /ext/TensorRT/python/build.sh \
        && PYTHON_MINOR_VERSION=8 TARGET_ARCHITECTURE=aarch64 CUDA_ROOT=/usr/local/cuda-10.2 \
            TRT_OSSPATH=/ext/TensorRT EXT_PATH=/ext bash /ext/TensorRT/python/build.sh \
        && install -D -t /wheels /ext/TensorRT/python/build/dist/tensorrt-*.whl; \
    fi
# pycuda's setup imports numpy, does not ask the environment where CUDA is, and would use cuRAND.
COPY docker/requirements-tx2.txt docker/requirements-tx2-cuda.txt /tmp/
RUN printf 'CUDA_ROOT = "/usr/local/cuda-10.2"\nCUDA_ENABLE_CURAND = False\n' > /etc/aksetup-defaults.py \
    && /tools/bin/python -m pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: \
        -r /tmp/requirements-tx2.txt \
    && /tools/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation \
        --require-hashes --only-binary :all: --no-binary pycuda --wheel-dir /wheels \
        -r /tmp/requirements-tx2-cuda.txt

FROM tools AS cuda-packages
COPY --from=packages /opt/edgecsp /opt/edgecsp
COPY --from=cuda /wheels /wheels
RUN /tools/bin/python -m pip --python /opt/edgecsp/bin/python install --no-cache-dir --no-index --no-deps /wheels/*.whl

# The image.
FROM runtime AS jetson
COPY --from=cuda-packages /opt/edgecsp /opt/edgecsp
