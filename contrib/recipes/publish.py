#!/usr/bin/env python3
"""publish.py TOPIC EVENT DATA [KEY]: publishes JSON once, however often it
has to try."""
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid


def publish(topic, event, data, key=None):
    body = {"topic": topic, "event": event, "data": data,
            "idempotency_key": key or str(uuid.uuid4())}
    request = urllib.request.Request(
        os.environ["FANFARE_URL"] + "/publish", json.dumps(body).encode(),
        {"Authorization": "Bearer " + os.environ["FANFARE_API_KEY"],
         "Content-Type": "application/json"})
    for wait in 1, 2, 4, 8, None:
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return json.load(response)
        except urllib.error.HTTPError as e:
            answer = e.read().decode()
            if e.headers.get_content_type() == "application/problem+json":
                problem = json.loads(answer)
                answer = f"{problem['code']}: {problem['detail']}"
            failure = f"{e.code} {answer}"
            if e.code < 500 and e.code != 429:
                break  # it would be refused again
        except (OSError, http.client.HTTPException) as e:
            failure = str(e)
        if wait:
            time.sleep(wait)
    raise RuntimeError(failure)


try:
    topic, event, data, *key = sys.argv[1:]
    print(json.dumps(publish(topic, event, json.loads(data), *key)))
except RuntimeError as e:
    sys.exit(f"publish: {e}")
