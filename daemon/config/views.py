"""The rules for a stream that looks at a part of another stream's camera: `camera: {device: "stream:NAME"}`. Pure."""

from collections.abc import Mapping

from daemon.config.streams import StreamConfig


def view_problems(streams: Mapping[str, StreamConfig]) -> dict[str, str]:
    """Return by stream what is wrong with the stream at whose camera it looks."""
    own = [name for name, stream in streams.items() if stream.camera is not None and stream.camera.view_of is None]
    expected = f"expected one of {', '.join(own)}" if own else "and no stream has a camera of its own"
    problems = {}
    for name, stream in streams.items():
        viewed = stream.camera.view_of if stream.camera is not None else None
        if viewed is not None and viewed not in own:
            problems[name] = f"{_what(viewed, name, streams)}; {expected}"
    return problems


def _what(viewed: str, name: str, streams: Mapping[str, StreamConfig]) -> str:
    if viewed == name:
        return "names this stream itself"
    if viewed not in streams:
        return f"there is no stream {viewed}"
    camera = streams[viewed].camera
    if camera is None:
        return f"the stream {viewed} has no camera"
    return f"the stream {viewed} looks at the camera of {camera.view_of} itself"
