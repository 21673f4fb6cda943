#!/usr/bin/env python3
"""subscribe.py TOPIC [AFTER]: every event as a line of JSON."""
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


def connect(topic, cursor):
    query = urllib.parse.urlencode({"topic": topic, "format": "envelope"})
    headers = {"Accept": "text/event-stream"}
    key = os.environ.get("FANFARE_API_KEY")
    if key:
        headers["Authorization"] = f"Bearer {key}"
    if cursor:
        headers["Last-Event-ID"] = cursor
    url = f"{os.environ['FANFARE_URL']}/events?{query}"
    request = urllib.request.Request(url, headers=headers)
    # Heartbeats come every 15 seconds: without any it is dead.
    return urllib.request.urlopen(request, timeout=45)


def subscribe(topic, cursor=""):
    """Yield (name, data), for ever; your own events have no name here."""
    wait = 3
    while True:
        try:
            with connect(topic, cursor) as stream:
                name, ident, data = "", cursor, ""
                for line in stream:
                    field, _, value = line.decode().partition(": ")
                    value = value.removesuffix("\n")
                    if field == "data":
                        data = value  # envelopes are one line
                    elif field == "event":
                        name = value
                    elif field == "id":
                        ident = value
                    elif field == "retry":
                        wait = int(value) / 1000
                    elif line == b"\n":
                        if data:
                            yield name, json.loads(data)
                            cursor = ident  # that one is dealt with
                        name, data = "", ""
        except urllib.error.HTTPError as e:
            print("fanfare:", e.code, e.read().decode(), file=sys.stderr)
            if e.code < 500 and e.code != 429:
                sys.exit(1)  # it would be refused again
        except (OSError, http.client.HTTPException) as e:
            print("fanfare:", e, file=sys.stderr)
        time.sleep(wait)


for name, data in subscribe(*sys.argv[1:]):
    if name == "":
        print(json.dumps(data), flush=True)
    elif name in ("fanfare.gap", "fanfare.close"):
        print(name, json.dumps(data), file=sys.stderr)
