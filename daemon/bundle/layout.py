"""Where each output of each encoder lies in F, the head's input. Pure. See docs/bundle.md, "The head"."""

from collections.abc import Mapping

from daemon.bundle.encoder_specs import EncoderSpec


def columns_of(specs: Mapping[str, EncoderSpec]) -> dict[str, dict[str, list[range]]]:
    """Return by encoder and output its columns in F: those of the embedding, then those of each statistic of `pool`.

    `specs` are in the order of F. The `present` entries follow the columns of all encoders.
    """
    columns: dict[str, dict[str, list[range]]] = {}
    start = 0
    for encoder, spec in specs.items():
        columns[encoder] = {output: [] for output in spec.outputs}
        for _ in range(spec.size // spec.output_size):
            for output, tensor in spec.outputs.items():
                columns[encoder][output].append(range(start, start + tensor.size))
                start += tensor.size
    return columns
