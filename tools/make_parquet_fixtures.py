"""Writes the Parquet files that packages/training's tests read: python tools/make_parquet_fixtures.py (needs pyarrow)."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = Path(__file__).parent.parent / "packages/training/src/data/fixtures"

rows = [
    {"id": i, "text": f"Row {i}: {'grün ' * (i % 5)}ß\n\"quoted\"", "endings": [f"a{i}", f"b{i}"], "label": None if i % 7 == 0 else str(i % 3), "blob": bytes([255, i])}
    for i in range(25)
]
schema = pa.schema(
    [("id", pa.int64()), ("text", pa.string()), ("endings", pa.list_(pa.string())), ("label", pa.string()), ("blob", pa.binary())]
)
table = pa.Table.from_pylist(rows, schema=schema)
for codec in ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]:
    pq.write_table(table, FOLDER / f"rows-{codec}.parquet", compression=codec, row_group_size=10)
pq.write_table(table, FOLDER / "rows-v2.parquet", compression="zstd", row_group_size=10, data_page_version="2.0", version="2.6", use_dictionary=False)

bad = pa.array([b"good", b"S\xc3\xbcd\xff", b"good"], type=pa.binary()).view(pa.string())
pq.write_table(pa.table({"text": bad}), FOLDER / "not-utf8.parquet", compression="none")

encodings = {"id": "DELTA_BINARY_PACKED", "text": "DELTA_BYTE_ARRAY", "endings.list.element": "DELTA_LENGTH_BYTE_ARRAY", "label": "DELTA_BYTE_ARRAY", "blob": "PLAIN"}
pq.write_table(table, FOLDER / "rows-delta.parquet", compression="snappy", row_group_size=10, use_dictionary=False, column_encoding=encodings)

marked = pa.table({"text": ["\ufeffmarked", "in\ufeffside", "\ufeff"]})
pq.write_table(marked, FOLDER / "byte-order-marks.parquet", compression="lz4")

# 13 KB that hold 300 MiB.
zeros = pa.table({"text": ["0" * 2**20] * 300})
pq.write_table(zeros, FOLDER / "hostile/zeros.parquet", compression="zstd", compression_level=19, use_dictionary=False, write_statistics=False)
