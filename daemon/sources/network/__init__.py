"""Network cameras through FFmpeg: RTSP, and streams over HTTP."""
