"""A job over HTTP, for tests of the scheduler's routes."""

FETCH = {
    "name": "Daily",
    "stocks": ["MSFT", "GOOG"],
    "run": {"type": "fetch", "start": "2000-01-01", "end": "2000-12-31"},
}


def make(http, **fields):
    answer = http.post("/scheduler/jobs", json=FETCH | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()
