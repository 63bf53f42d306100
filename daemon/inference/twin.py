"""A model on an accelerator with its twin on the CPU: what the one does not compute, the other does."""

from daemon.inference.accelerator import Accelerator
from daemon.inference.model import TfliteModel
from daemon.records import CPU, Tensor


class TwinModel:
    """Implements `Model`: every input gets its output, whatever the accelerator does."""

    def __init__(self, accelerator: Accelerator, number: int, cpu: TfliteModel) -> None:
        """`number` is the workload's in the accelerator, whose twin is `cpu`."""
        self._accelerator = accelerator
        self._number = number
        self._cpu = cpu
        self.input: Tensor = cpu.input
        self.device = CPU

    def invoke(self) -> list[Tensor]:
        """Run on what `input` holds. Raises ModelError when the CPU, asked instead, fails too."""
        output = self._accelerator.run(self._number)
        if output is None:
            self.device = CPU
            return self._cpu.invoke()
        self.device = self._accelerator.device.name
        return [output]
