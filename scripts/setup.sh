# Functions for the other scripts, which source this file: install Debian packages, and make virtual environments.
# shellcheck shell=bash

# need NAME WHY CHECK...: record the Debian package NAME as missing if the command CHECK fails
missing=()
need() {
    local name=$1 why=$2
    shift 2
    "$@" >/dev/null 2>&1 || { missing+=("$name"); echo "missing package $name, needed for $why" >&2; }
}

has_library() { python3 -c "import ctypes.util, sys; sys.exit(ctypes.util.find_library('$1') is None)"; }
has_command() { PATH=$PATH:/usr/sbin:/sbin command -v "$1"; }
has_package() { dpkg-query -W -f '${Status}' "$1" | grep -q 'ok installed'; }

# install_missing: install the packages that need has recorded, or print how to install them
install_missing() {
    [ ${#missing[@]} -eq 0 ] && return 0
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "installing packages needs root, and there is no sudo. Run as root: apt-get install ${missing[*]}" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    if ! command -v apt-get >/dev/null; then
        echo "installing packages needs apt-get, which was not found. Please install: ${missing[*]}" >&2
        return 1
    fi
    echo "installing with ${as_root[*]:+sudo }apt-get: ${missing[*]}" >&2
    local log
    log=$(mktemp)
    if ! { "${as_root[@]}" apt-get update && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "apt-get failed; $log has its complete output. Please install: ${missing[*]}" >&2
        return 1
    fi
    rm -f "$log"
    missing=()
}

# make_venv DIR LOCK: make a virtual environment in DIR with the packages of LOCK and the perceptd command
make_venv() {
    local dir=$1 lock=$2 stamp
    stamp="$(python3 -c 'import sys; print(sys.version)') $(cat "$lock" pyproject.toml | sha256sum) $PWD"
    [ -x "$dir/bin/perceptd" ] && [ "$(cat "$dir/.stamp" 2>/dev/null)" = "$stamp" ] && return 0
    echo "installing Python packages into $dir (only the first time; takes a minute or two)" >&2
    rm -rf "$dir"
    python3 -m venv "$dir"
    "$dir/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$lock"
    "$dir/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
    printf '%s' "$stamp" >"$dir/.stamp"
}

need_python() {
    has_command python3 >/dev/null || { echo "python3 was not found. Install Python 3.10 or newer." >&2; exit 1; }
    need python3-venv "the virtual environment of the Python packages" python3 -c 'import ensurepip, venv'
}

need_runtime() {
    need_python
    need libportaudio2 "microphones" has_library portaudio
    need mosquitto "the private MQTT broker" has_command mosquitto
}

need_rtsp_camera() {
    need gir1.2-gst-rtsp-server-1.0 "RTSP cameras" has_package gir1.2-gst-rtsp-server-1.0
    need python3-gi "RTSP cameras" has_package python3-gi
    for set in base good bad ugly; do
        need "gstreamer1.0-plugins-$set" "RTSP cameras" has_package "gstreamer1.0-plugins-$set"
    done
    need gstreamer1.0-libav "the AAC sound of RTSP cameras" has_package gstreamer1.0-libav
}

need_music() {
    need fluidsynth "music" has_command fluidsynth
    need timgm6mb-soundfont "the instruments of that music" has_package timgm6mb-soundfont
}

# need_packages MACHINE...: what building a Debian package needs, for processors as uname -m says them
need_packages() {
    need git "the files of the commit" has_command git
    need gnupg "the signature of an apt repository" has_command gpg
    local machine
    for machine in "$@"; do
        need "binutils-${machine/_/-}-linux-gnu" "smaller libraries in packages" has_command "$machine-linux-gnu-strip"
    done
}

prepare_packages() {
    need_python
    need_packages x86_64 aarch64
    install_missing
    make_venv .venv-package requirements/package.lock
}

prepare_tests() {
    need_runtime
    need openssl "certificates in tests" has_command openssl
    need gcc "shared libraries for tests of perceptd doctor" has_command gcc
    need mosquitto-clients "an independent subscriber in tests" has_command mosquitto_sub
    need pulseaudio "a sound server with a virtual microphone" has_command pulseaudio
    need pulseaudio-utils "sound for that microphone" has_command paplay
    need libasound2-plugins "the connection from ALSA to the sound server" has_package libasound2-plugins
    need espeak-ng "speech in tests" has_command espeak-ng
    need_music
    need_rtsp_camera
    need gcc "the test accelerator, which fails on request" has_command cc
    need libc6-dev "compiling that accelerator" has_package libc6-dev
    need prometheus "metrics as a server reads them, and alert rules" has_command promtool
    need chromium "the page in a real browser" has_command chromium
    need fonts-dejavu-core "the letters of that page" has_package fonts-dejavu-core
    need systemd "checks of the service unit" has_command systemd-analyze
    need systemd-container "a guest system that runs the service" has_command systemd-nspawn
    need mmdebstrap "the file system of that guest" has_command mmdebstrap
    need_packages "$(uname -m)"
    need lintian "checks of the Debian package" has_command lintian
    need man-db "the man page" has_command man
    install_missing
    make_venv .venv-test requirements/test.lock
}

# in_private_memory COMMAND...: run the tests' command with a /dev/shm of its own where that is allowed, as it is to root.
# Programs of one user share JACK's locks there. A program that is killed with such a lock stops the others.
in_private_memory() {
    if unshare --mount mount -t tmpfs tmpfs /dev/shm 2>/dev/null; then
        # shellcheck disable=SC2016  # the arguments are the inner shell's
        unshare --mount sh -c 'mount -t tmpfs tmpfs /dev/shm && exec "$@"' sh "$@"
    else
        "$@"
    fi
}

# prepare_training: make the environment of scripts/train and scripts/evaluate-digits, and set its variables
prepare_training() {
    need_runtime
    need espeak-ng "a part of the spoken training digits" has_command espeak-ng
    install_missing
    make_venv .venv-train requirements/train.lock
    export TF_CPP_MIN_LOG_LEVEL=2 CUDA_VISIBLE_DEVICES= PYTHONHASHSEED=0 PYTHONPATH=scripts
    # two processes train at the same time, each on one core
    export TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
    # TensorFlow enables these only on processors that it knows. Without them training takes half as long again.
    export TF_ENABLE_ONEDNN_OPTS=1
}
