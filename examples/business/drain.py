#!/usr/bin/python3
"""A business app in Python on paho-mqtt (1.6 or 2.x): takes the entries of a node in batches and prints them.

    drain.py [--host 127.0.0.1] [--port 1883] [--task host] [--count 1000]

It asks on m/fetch and hears the answer on m/reply/drain, subscribed at QoS 1. paho acknowledges a message when
on_message has returned, and that acknowledgement settles the batch: if this program dies inside on_message, the
node hands the same entries out again. So work done there is done at least once, and `attempts` above 1 says that
an entry may have been seen before.
"""

import argparse
import base64
import json
import signal
import sys
import threading

try:
    import paho.mqtt.client as mqtt
except ImportError:
    sys.exit("drain: needs paho-mqtt for this Python; on Debian: apt install python3-paho-mqtt")

REPLY = "m/reply/drain"
BATCH = 100
WAIT_MS = 20_000

parser = argparse.ArgumentParser(description="Take entries in batches and print them.")
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, default=1883)
parser.add_argument("--task", help="of this task only; without it, of all tasks in order of arrival")
parser.add_argument("--count", type=int, default=0, help="end after this many entries; without it, never")
options = parser.parse_args()

done = threading.Event()
exit_code = 0
taken = 0


def end(code):
    global exit_code
    exit_code = code
    done.set()


def ask(client):
    left = options.count - taken if options.count else BATCH
    request = {"max": min(BATCH, left), "wait_ms": WAIT_MS, "reply_to": REPLY, "transaction": taken}
    client.publish(f"m/fetch/{options.task}" if options.task else "m/fetch", json.dumps(request), qos=1)


def on_connect(client, userdata, flags, reason, properties=None):
    if getattr(reason, "value", reason) == 0:
        client.subscribe(REPLY, qos=1)


def on_subscribe(client, userdata, mid, granted, properties=None):
    ask(client)  # also after a reconnect: the waiting fetch of the old connection ended with it


def on_message(client, userdata, message):
    global taken
    reply = json.loads(message.payload)
    if reply["status"] != "ok":
        print(f"{reply['code']}: {reply['error']}", file=sys.stderr, flush=True)
        # The task may not exist yet, or the node may be closing: ask again in a while, if that can help.
        if reply["code"] in ("SN_ERR_TASK_UNKNOWN", "SN_ERR_CLOSING", "SN_ERR_LIMIT"):
            threading.Timer(1, ask, [client]).start()
        else:
            end(1)
        return
    for entry in reply["data"]["entries"]:
        work(entry)
        taken += 1
    if options.count and taken >= options.count:
        # Not disconnect() at once: that could overtake the acknowledgement, which follows this function.
        client.unsubscribe(REPLY)
    elif not done.is_set():
        ask(client)


def on_unsubscribe(client, userdata, mid, *rest):
    end(0)


def work(entry):
    payload = entry["payload"] if "payload" in entry else base64.b64decode(entry["payload_base64"])
    print(f"{entry['task_id']} #{entry['seq']} attempt {entry['attempts']}: {payload}", flush=True)


def main():
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    signal.signal(signal.SIGINT, lambda *_: done.set())
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2) if hasattr(mqtt, "CallbackAPIVersion") else mqtt.Client()
    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.on_message = on_message
    client.on_unsubscribe = on_unsubscribe
    client.reconnect_delay_set(min_delay=1, max_delay=5)
    client.connect_async(options.host, options.port, keepalive=30)
    client.loop_start()
    done.wait()
    client.disconnect()
    client.loop_stop()
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
