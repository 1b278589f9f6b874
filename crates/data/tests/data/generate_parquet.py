"""Writes the Parquet files of the tests with pyarrow, as the `datasets` library does.

pyarrow 26.0.1; `python generate_parquet.py` in this directory.
"""

import pyarrow as pa
import pyarrow.parquet as pq

MESSAGE = pa.struct([("content", pa.string()), ("role", pa.string())])
HI = {"role": "user", "content": "Hi"}


def answer(text):
    return {"role": "assistant", "content": text}


prose = pa.table(
    {
        "prompt": ["Q", "R", None],
        "chosen": ['a, "b"', "d\ne", "naïve café 日本語"],
        "rejected": ["c", "", "x"],
        "score_chosen": pa.array([7.5, 3.0, 1.0], pa.float64()),
        "score_rejected": pa.array([4, 3, 2], pa.int64()),
    }
)
messages = pa.table(
    {
        "chosen": pa.array([[HI, answer("yes")], [HI, answer("")]], pa.list_(MESSAGE)),
        "rejected": pa.array([[HI, answer("no")], [HI, answer(None)]], pa.list_(MESSAGE)),
    }
)
for compression in ["snappy", "gzip", "lz4", "none"]:
    pq.write_table(prose, f"prose_{compression}.parquet", compression=compression, row_group_size=2)
pq.write_table(messages, "messages_snappy.parquet", compression="snappy")
pq.write_table(prose, "prose_zstd.parquet", compression="zstd")
