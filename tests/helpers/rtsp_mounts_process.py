"""RTSP servers with several cameras each. Run it with /usr/bin/python3, which has GStreamer.

The argument is a JSON array of servers. A server has an `address`, `mounts` (pipelines of gst-launch by path), and
`logins` (pairs of user and password for digest authentication). Without logins everybody may watch.
Prints the ports as a JSON array once all servers listen.
"""

import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

ROLE = "viewer"
GST_RTSP_AUTH_DIGEST = 2


def serve(address: str, mounts: dict[str, str], logins: list[list[str]]) -> GstRtspServer.RTSPServer:
    server = GstRtspServer.RTSPServer()
    server.set_address(address)
    server.set_service("0")
    if logins:
        server.set_auth(digest_of(logins))
    for path, launch in mounts.items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(f"( {launch} )")
        factory.set_shared(True)
        if logins:
            permissions = GstRtspServer.RTSPPermissions()
            for permission in ("media.factory.access", "media.factory.construct"):
                permissions.add_permission_for_role(ROLE, permission, True)
            factory.set_permissions(permissions)
        server.get_mount_points().add_factory(path, factory)
    if not server.attach(None):
        sys.exit(f"cannot listen at {address}")
    return server


def digest_of(logins: list[list[str]]) -> GstRtspServer.RTSPAuth:
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GST_RTSP_AUTH_DIGEST)
    for login in logins:
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", ROLE)
        auth.add_digest(*login, token)
    return auth


Gst.init(None)
servers = [serve(**server) for server in json.loads(sys.argv[1])]
print(json.dumps([server.get_bound_port() for server in servers]), flush=True)
GLib.MainLoop().run()
