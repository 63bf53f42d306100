#!/bin/bash
# Runs in the virtual machine of scripts/test-device: the tests, with the arguments of that script.
cd /tmp/perceptd || exit 1
ip link set lo up
export PYTHONPATH=/opt/site HOME=/tmp
eval "set -- $(cat arguments)"
python3 -m pytest -p no:cacheprovider --override-ini addopts= -v -s --color=no tests/device/devices.py tests/device/edge_tpu.py "$@"
