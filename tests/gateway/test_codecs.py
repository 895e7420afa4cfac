"""The gateway's Kafka client reads what any producer may write, however it is compressed."""

from __future__ import annotations

import pytest
from aiokafka import codec
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

_CODECS = {
    "gzip": DefaultRecordBatch.CODEC_GZIP,
    "snappy": DefaultRecordBatch.CODEC_SNAPPY,
    "lz4": DefaultRecordBatch.CODEC_LZ4,
    "zstd": DefaultRecordBatch.CODEC_ZSTD,
}


@pytest.mark.parametrize("name", _CODECS)
def test_a_batch_of_records_is_read_with_every_codec_of_kafka(name: str) -> None:
    """A record batch that was compressed with a codec is decoded to the records that went in."""
    assert getattr(codec, f"has_{name}")(), "its library is not installed"
    values = [b"progress of a slice " * 50, b"", b"x" * 2_000]
    builder = DefaultRecordBatchBuilder(2, _CODECS[name], 0, -1, -1, 0, 1 << 20)
    for offset, value in enumerate(values):
        builder.append(offset, 1_000, b"key", value, [])
    written = bytes(builder.build())

    batch = DefaultRecordBatch(bytearray(written))

    assert batch.compression_type == _CODECS[name]
    assert len(written) < sum(map(len, values))
    assert [(record.key, record.value) for record in batch] == [(b"key", value) for value in values]
