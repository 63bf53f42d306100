# Steps that scripts/install and the Debian package share. scripts/install reads this file. scripts/package writes it into
# each maintainer script, in the place of the line @STEPS@. Every step may be repeated after it was interrupted anywhere.
# shellcheck shell=sh disable=SC2034
program=/opt/perceptd
settings=/etc/perceptd
state=/var/lib/perceptd
# who may use the page
page_state=/var/lib/perceptd-page
# what `perceptd bundle get` writes as root: bundles, and what it has downloaded for them
bundles=/var/lib/perceptd-bundles
cache=/var/cache/perceptd
data="$settings $state $page_state $bundles $cache"

own_units=/etc/systemd/system
jetson=$own_units/perceptd.service.d/jetson.conf
# the link of `systemctl enable`
enabled=$own_units/multi-user.target.wants/perceptd.service
# the units beside the service's own, in the order in which they stop
other_units="perceptd-page.service perceptd-page.socket perceptd.socket"

# where programs have their udev rules
udev_rules="/etc/udev/rules.d /run/udev/rules.d /usr/lib/udev/rules.d /lib/udev/rules.d"

# in which preinst notes what runs; an upgrade that the machine's end interrupts finds it empty
running=/run/perceptd-package

has_user() { getent passwd "$1" >/dev/null; }
has_systemd() { [ -d /run/systemd/system ]; }
is_jetson() { [ -e /etc/nv_tegra_release ] || grep -qs nvidia,tegra /proc/device-tree/compatible; }

# apply_udev_rules: apply the udev rules to Edge TPUs that are already plugged in
apply_udev_rules() {
    [ -S /run/udev/control ] || return 0
    udevadm control --reload
    udevadm trigger --subsystem-match=usb --attr-match=idVendor=1a6e --attr-match=idProduct=089a
    udevadm trigger --subsystem-match=usb --attr-match=idVendor=18d1 --attr-match=idProduct=9302
    udevadm trigger --subsystem-match=apex
}

# ask ACTION [OPTION...]: let the installed program do a part of the work, as the service; OPTIONs are systemd-run's
ask() {
    local action="$1"
    shift
    systemd-run --quiet --wait --pipe --collect --property=User=perceptd --property=WorkingDirectory="$program" \
        --setenv=STATE_DIRECTORY="$state" "$@" \
        "$program/.venv/bin/python3" -m daemon.cli.service "$action" "$settings/config.yaml"
}

# withdraw: remove what the broker retains of this node, with the account of the service
withdraw() {
    # without a state directory the service has never run
    if ! has_systemd || ! [ -x "$program/.venv/bin/python3" ] || ! [ -e "$settings/config.yaml" ] \
        || ! [ -d "$state" ] || ! has_user perceptd; then
        return 0
    fi
    local status=0 fields="$IFS"
    # without SetCredential: its secret would stand in the list of processes
    set -f
    IFS='
'
    # shellcheck disable=SC2046  # one option a line
    set -- $(systemctl cat perceptd.service 2>/dev/null \
        | sed -n 's/^\(LoadCredential\|LoadCredentialEncrypted\|SetCredentialEncrypted\)=/--property=&/p')
    IFS=$fields
    set +f
    echo "asking the broker to forget this node"
    ask withdraw "$@" || status=$?
    # 1: the program has listed what remains
    [ "$status" -le 1 ] || echo "the broker was not asked to forget this node; its retained messages remain there" >&2
}

# write_settings: make the users and directories of the service, and its config if there is none yet
write_settings() {
    systemd-sysusers "$program/systemd/perceptd.sysusers"
    mkdir -p "$settings"
    if [ ! -e "$settings/config.yaml" ]; then
        echo "writing $settings/config.yaml, which replays the demo recording until you change it"
        sed "s# models/# $program/models/#" "$program/config.yaml" >"$settings/config.yaml.new"
        mv "$settings/config.yaml.new" "$settings/config.yaml"
    fi
    # A removal has given these files to root; the service reads those of its group. The directories come last: they
    # tell whether this was done.
    if [ "$(stat -c %G "$settings/")" = root ]; then
        find "$settings/" -mindepth 1 -perm -g=r -group root -exec chgrp -h perceptd {} +
    fi
    if [ -d "$state/" ] && [ "$(stat -c %U "$state/")" = root ]; then
        find "$state/" -depth -exec chown -h perceptd:perceptd {} +
    fi
    chown root:perceptd "$settings/config.yaml"  # it may contain passwords
    chmod 640 "$settings/config.yaml"
    chown root:perceptd "$settings/"
    chmod 750 "$settings/"
    # root sets a password there before the page has ever run
    install -d -o perceptd-page -g perceptd-page -m 700 "$page_state"
    chown -hR perceptd-page:perceptd-page "$page_state/"
    if is_jetson; then
        install -D -m 644 "$program/systemd/jetson.conf" "$jetson"
    fi
}

# stop_units: stop the service and its page
stop_units() {
    has_systemd || return 0
    # shellcheck disable=SC2086  # a list
    systemctl stop $other_units 2>/dev/null || true
    systemctl stop perceptd.service 2>/dev/null || true
    rmdir --ignore-fail-on-non-empty /run/perceptd 2>/dev/null || true  # of the socket, which systemd has removed
}

# forget_units: let systemd and udev see that the files of units and rules are gone
forget_units() {
    if has_systemd; then
        systemctl daemon-reload
        # shellcheck disable=SC2086  # a list
        systemctl reset-failed perceptd.service $other_units 2>/dev/null || true
    fi
    [ ! -S /run/udev/control ] || udevadm control --reload
}

# is_checkout: whether scripts/install has installed perceptd; a package has no such directory
is_checkout() { [ -d "$program/scripts" ]; }

# remove_checkout: remove what scripts/install has installed, but neither config, state nor users
remove_checkout() {
    local part
    rm -f /etc/sysusers.d/perceptd.conf /etc/udev/rules.d/51-perceptd.rules "$jetson"
    for part in $other_units perceptd.service; do
        rm -f "$own_units/$part"
    done
    rmdir --ignore-fail-on-non-empty "$(dirname "$jetson")" 2>/dev/null || true
    if [ "$(readlink /usr/local/bin/perceptd || true)" = "$program/.venv/bin/perceptd" ]; then
        rm -f /usr/local/bin/perceptd
    fi
    # the scripts come last: they tell whether this was done
    for part in daemon models docs systemd requirements pyproject.toml README.md CHANGELOG.md SECURITY.md LICENSE \
        config.yaml .venv scripts; do
        rm -rf "${program:?}/$part"
    done
}

# remove_data: remove config, state, bundles, downloads and drop-ins; `removed` says which of them
remove_data() {
    local each present=
    # a link to another disk is followed, and a mount point stays
    for each in $data; do
        [ ! -e "$each" ] || present="$present $each"
        [ ! -d "$each" ] || find "$each/" -mindepth 1 -delete || true
    done
    # shellcheck disable=SC2086  # a list
    rm -rf $data "$program" || true
    rm -rf "$own_units/perceptd.service.d" "$own_units/perceptd-page.socket.d" "$enabled"
    removed=
    for each in $present; do
        [ -e "$each" ] || removed="$removed $each"
    done
}

# remove_apex: remove the group of Edge TPUs on PCI, which no package of Debian has, where nothing else uses it: it has no
# members, and no udev rule names it
remove_apex() {
    # shellcheck disable=SC2086  # a list
    case $(getent group apex) in
        *:) grep -rqs apex $udev_rules || groupdel apex 2>/dev/null || true ;;
    esac
}

# remove_users: remove the users. This leaves all other groups, such as video and plugdev, which other programs use
remove_users() {
    local each
    for each in perceptd perceptd-page; do
        if has_user "$each"; then userdel "$each"; fi
        if getent group "$each" >/dev/null; then groupdel "$each"; fi
    done
    remove_apex
}

# compile_bytecode, remove_bytecode: the package has none, and the service itself cannot write it
compile_bytecode() {
    echo "compiling the Python modules of perceptd, which takes 10 seconds, or a minute on a small board"
    "$program/.venv/bin/python3" -m compileall -q -j 0 "$program/daemon" "$program/.venv/lib" || true
}
remove_bytecode() {
    [ ! -d "$program" ] || find "$program" -name __pycache__ -type d -prune -exec rm -rf {} +
}
