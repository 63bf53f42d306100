# Sourced by the other scripts: what the system must have, and the virtual environment.
# shellcheck shell=bash

# need NAME WHY CHECK...: note the Debian package NAME as missing unless the command CHECK succeeds
missing=()
need() {
    local name=$1 why=$2
    shift 2
    "$@" >/dev/null 2>&1 || { missing+=("$name"); echo "needs the package $name: $why" >&2; }
}

has_library() { python3 -c "import ctypes.util, sys; sys.exit(ctypes.util.find_library('$1') is None)"; }
has_command() { PATH=$PATH:/usr/sbin:/sbin command -v "$1"; }
has_package() { dpkg-query -W -f '${Status}' "$1" | grep -q 'ok installed'; }

# install_missing: install what need has noted, or say how
install_missing() {
    [ ${#missing[@]} -eq 0 ] && return 0
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "cannot install them: not root, and there is no sudo; as root run: apt-get install ${missing[*]}" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    if ! command -v apt-get >/dev/null; then
        echo "cannot install them: there is no apt-get; please install: ${missing[*]}" >&2
        return 1
    fi
    echo "installing by ${as_root[*]:+sudo }apt-get: ${missing[*]}" >&2
    local log
    log=$(mktemp)
    if ! { "${as_root[@]}" apt-get update && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "apt-get failed (whole output: $log); please install: ${missing[*]}" >&2
        return 1
    fi
    rm -f "$log"
    missing=()
}

# make_venv DIR LOCK: a virtual environment with exactly what LOCK says, and the perceptd command
make_venv() {
    local dir=$1 lock=$2 stamp
    stamp="$(python3 -c 'import sys; print(sys.version)') $(cat "$lock" pyproject.toml | sha256sum) $PWD"
    [ -x "$dir/bin/perceptd" ] && [ "$(cat "$dir/.stamp" 2>/dev/null)" = "$stamp" ] && return 0
    echo "installing Python packages into $dir (once; a minute or two)" >&2
    rm -rf "$dir"
    python3 -m venv "$dir"
    "$dir/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$lock"
    "$dir/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
    printf '%s' "$stamp" >"$dir/.stamp"
}

need_python() {
    has_command python3 >/dev/null || { echo "needs python3" >&2; exit 1; }
    need python3-venv "a virtual environment for the Python packages" python3 -c 'import ensurepip, venv'
}

need_runtime() {
    need_python
    need libportaudio2 "microphones" has_library portaudio
    need mosquitto "an MQTT broker to publish to" has_command mosquitto
}

need_rtsp_camera() {
    need gir1.2-gst-rtsp-server-1.0 "a real RTSP camera" has_package gir1.2-gst-rtsp-server-1.0
    need python3-gi "a real RTSP camera" has_package python3-gi
    for set in base good bad ugly; do
        need "gstreamer1.0-plugins-$set" "a real RTSP camera" has_package "gstreamer1.0-plugins-$set"
    done
    need gstreamer1.0-libav "the RTSP camera's AAC sound" has_package gstreamer1.0-libav
}

prepare_tests() {
    need_runtime
    need openssl "certificates for the tests" has_command openssl
    need gcc "shared libraries that doctor is tried on" has_command gcc
    need mosquitto-clients "an independent subscriber" has_command mosquitto_sub
    need pulseaudio "a real sound server with a virtual microphone" has_command pulseaudio
    need pulseaudio-utils "to play into that microphone" has_command paplay
    need libasound2-plugins "the way from ALSA to the sound server" has_package libasound2-plugins
    need espeak-ng "speech for the tests" has_command espeak-ng
    need_rtsp_camera
    need gcc "to compile an accelerator that can be told to fail" has_command cc
    need libc6-dev "to compile that accelerator" has_package libc6-dev
    need systemd "to judge the service's unit" has_command systemd-analyze
    need systemd-container "a guest in which the service runs" has_command systemd-nspawn
    need mmdebstrap "the guest's system" has_command mmdebstrap
    install_missing
    make_venv .venv-test requirements/test.lock
}

# in_private_memory COMMAND...: run the tests' command with a /dev/shm of its own where that is allowed, as it is to root:
# programs of one user share JACK's locks there, and one that is killed with such a lock stops the others
in_private_memory() {
    if unshare --mount mount -t tmpfs tmpfs /dev/shm 2>/dev/null; then
        # shellcheck disable=SC2016  # the arguments are the inner shell's
        unshare --mount sh -c 'mount -t tmpfs tmpfs /dev/shm && exec "$@"' sh "$@"
    else
        "$@"
    fi
}

# prepare_training: what scripts/train and scripts/evaluate-digits run in, and how
prepare_training() {
    need_runtime
    need espeak-ng "it speaks part of the training digits" has_command espeak-ng
    install_missing
    make_venv .venv-train requirements/train.lock
    export TF_CPP_MIN_LOG_LEVEL=2 CUDA_VISIBLE_DEVICES= PYTHONHASHSEED=0 PYTHONPATH=scripts
    # two processes train side by side, each on a core of its own
    export TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
    # TensorFlow leaves these on only where it knows the processor; without them training takes half as long again
    export TF_ENABLE_ONEDNN_OPTS=1
}
