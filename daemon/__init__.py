"""perceptd: recognise by sight, sound and text on a small computer, and say so over MQTT."""

__version__ = "0.8.0"
