"""People label in Label Studio: batches go there over its REST API, answers come back.

`push.py` and `pull.py` are the two directions, `sync.py` both; `backend.py` answers Label Studio's
own requests. None of them needs a Label Studio package.
"""
