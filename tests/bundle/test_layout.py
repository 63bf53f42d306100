"""The columns of F."""

from daemon.bundle.layout import columns_of
from daemon.bundle.manifest import Manifest
from tests.helpers.format2_bundle import manifest as document_of


def test_each_column_belongs_to_one_output_in_the_order_of_the_encoders() -> None:
    document = document_of()
    document["encoders"]["scene"]["pool"] = {"seconds": 4, "of": ["max", "mean"]}
    manifest = Manifest.model_validate(document)
    columns = columns_of(manifest.encoder_specs)
    assert columns["scene"] == {
        "groups": [range(2), range(5, 7), range(10, 12)],
        "embedding": [range(2, 5), range(7, 10), range(12, 15)],
    }
    all_columns = [
        one for outputs in columns.values() for ranges in outputs.values() for each in ranges for one in each
    ]
    present = len(manifest.encoder_specs)
    assert sorted(all_columns) == list(range(manifest.head_input_size - present))
