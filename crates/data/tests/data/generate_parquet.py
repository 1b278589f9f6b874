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
judged = pa.table(
    {
        "prompt": ["Q", "Q", "R", "R"],
        "completion": ["yes", "no", "good", "bad"],
        "label": [True, False, True, False],
        "split": ["train", "train", "train", "test"],
    }
)
scored = pa.table(
    {
        "prompt": ["Q", "R"],
        "completions": pa.array([["a", "b", "c"], ["d", "e"]], pa.list_(pa.string())),
        "scores": pa.array([[0.5, 2.0, 1.0], [1.0, 0.0]], pa.list_(pa.float64())),
    }
)
# As UltraFeedback has them: a list of structs, of which one column of each row matters.
RATED = pa.struct([("response", pa.large_string()), ("overall_score", pa.float32())])
rated = pa.table(
    {
        "prompt": pa.array(["Q", "R"], pa.large_string()).dictionary_encode(),
        "completions": pa.array(
            [
                [{"response": "a", "overall_score": 3}, {"response": "b", "overall_score": 7.5}],
                [{"response": "c", "overall_score": 8}, {"response": "d", "overall_score": 1}],
            ],
            pa.list_(RATED),
        ),
        "when": pa.array([0, 1], pa.timestamp("us")),
        "bytes": [b"\x00", b"\xff"],
    }
)
pq.write_table(judged, "judged_snappy.parquet")
pq.write_table(scored, "scored_snappy.parquet")
pq.write_table(rated, "rated_snappy.parquet")
for compression in ["snappy", "gzip", "lz4", "none"]:
    pq.write_table(prose, f"prose_{compression}.parquet", compression=compression, row_group_size=2)
pq.write_table(messages, "messages_snappy.parquet", compression="snappy")
pq.write_table(prose, "prose_zstd.parquet", compression="zstd")
