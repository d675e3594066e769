#!/usr/bin/python3
"""A business app in plain Python, with nothing but its standard library: takes the entries of a node over HTTP.

    fetch_http.py [--url http://127.0.0.1:8080] [--task host] [--count 1000]

It asks for entries with a lease, does its work, and acknowledges; a question waits up to 20 seconds for the first
entry. So nothing is lost whoever dies: if this program does, the lease runs out and the entries are handed out again;
if the node does, its queue is on the disk, and this program asks until it is back. An entry can therefore come twice:
`attempts` above 1 says that it may have been seen before, (epoch, seq) which one it is.
"""

import argparse
import base64
import http.client
import json
import signal
import sys
import time
import urllib.error
import urllib.request

BATCH = 100
WAIT_MS = 20_000
LEASE_MS = 60_000  # longer than the work on a batch takes

parser = argparse.ArgumentParser(description="Take entries over HTTP and print them.")
parser.add_argument("--url", default="http://127.0.0.1:8080", help="the node's http listener")
parser.add_argument("--task", help="of this task only; without it, of all tasks in order of arrival")
parser.add_argument("--count", type=int, default=0, help="end after this many entries; without it, never")
options = parser.parse_args()


class Refused(Exception):
    """The node's word that it does not do this."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code


def ask(path, body):
    """The `data` of the node's answer. Waits for a node that is away, closing or has too much to do."""
    request = urllib.request.Request(
        options.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    while True:
        pause_s = 1
        try:
            with urllib.request.urlopen(request, timeout=WAIT_MS / 1000 + 10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                reply = json.load(error)
            # The task may not exist yet.
            if error.headers["Retry-After"] is None and reply["code"] != "SN_ERR_TASK_UNKNOWN":
                raise Refused(reply["code"], reply["error"]) from None
            pause_s = int(error.headers["Retry-After"] or pause_s)
            print(f"{reply['code']}: {reply['error']}", file=sys.stderr, flush=True)
        except (OSError, http.client.HTTPException) as error:
            print(f"no node at {options.url}: {error}", file=sys.stderr, flush=True)
        time.sleep(pause_s)


def work(entry):
    payload = entry["payload"] if "payload" in entry else base64.b64decode(entry["payload_base64"])
    print(f"{entry['task_id']} #{entry['seq']} attempt {entry['attempts']}: {payload}", flush=True)


def main():
    # What is in hand then comes back when its lease runs out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    path = f"/m/fetch/{options.task}" if options.task else "/m/fetch"
    taken = 0
    while options.count == 0 or taken < options.count:
        most = min(BATCH, options.count - taken) if options.count else BATCH
        batch = ask(path, {"max": most, "wait_ms": WAIT_MS, "lease_ms": LEASE_MS})
        for entry in batch["entries"]:
            work(entry)
        taken += len(batch["entries"])
        if "lease" not in batch:
            continue
        try:
            ask("/m/ack", {"lease": batch["lease"], "ok": True})
        except Refused as refusal:
            # The lease ran out, or the node was started anew: the entries come again. Or it is done already, and its
            # answer was lost.
            if refusal.code != "SN_ERR_LEASE_UNKNOWN":
                raise
            print(refusal, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except Refused as refusal:
        sys.exit(str(refusal))
