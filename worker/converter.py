"""How values travel through Temporal: as pydantic's JSON, with the schema of a type built once a process."""

from dataclasses import replace

from temporalio.contrib.pydantic import PydanticPayloadConverter, pydantic_data_converter
from temporalio.converter import CompositePayloadConverter

PYDANTIC = PydanticPayloadConverter()  # what it keeps of a type is a pure function of the type


class SharedPayloadConverter(CompositePayloadConverter):
    """Temporal makes a converter for every run of a workflow, whose schemas cost 0.5 s of processor each time."""

    def __init__(self) -> None:
        super().__init__(*PYDANTIC.converters.values())


DATA_CONVERTER = replace(pydantic_data_converter, payload_converter_class=SharedPayloadConverter)
