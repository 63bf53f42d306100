"""The TFLite runtime, from whichever of its two packages is installed. Light: accelerator processes import it."""

try:
    from ai_edge_litert.interpreter import Interpreter, load_delegate
except ImportError:  # JetPack and older Raspberry Pi images carry only the older runtime
    from tflite_runtime.interpreter import Interpreter, load_delegate

__all__ = ["Interpreter", "load_delegate"]
