"""The TFLite runtime, whichever of its two packages is installed; light: the processes of accelerators import it."""

try:
    from ai_edge_litert.interpreter import Interpreter, load_delegate
except ImportError:  # JetPack and older Raspberry Pi images carry only the older runtime
    from tflite_runtime.interpreter import Interpreter, load_delegate

__all__ = ["Interpreter", "load_delegate"]
