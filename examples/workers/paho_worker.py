#!/usr/bin/python3
"""A worker in Python on paho-mqtt (1.6 or 2.x), written from docs/protocol.md alone.

Puts one entry a second: how full a file system is, and the load. start_params names the path (default /).
A command that arrives is printed; it then stands in m/log/<task>. A call whose payload is a path, or empty, is answered
with what an entry of it would say now; `watch 5` is answered with five of them, one a second.
"""

import json
import os
import shutil
import signal
import sys
import threading
import time
from urllib.parse import urlsplit

try:
    import paho.mqtt.client as mqtt
except ImportError:
    sys.exit("paho_worker: needs paho-mqtt for this Python; on Debian: apt install python3-paho-mqtt")

URL = urlsplit(os.environ["SN_URL"])
TASK = os.environ["SN_TASK_ID"]
TOKEN = os.environ["SN_TOKEN"]
KEEPALIVE = int(os.environ.get("SN_KEEPALIVE", "60"))
PREFIX = os.environ.get("SN_TOPIC_PREFIX", "")
PATH = os.environ.get("SN_START_PARAMS") or "/"

PUT = f"{PREFIX}w/ch/{TASK}"
COMMANDS = f"{PUT}/cmd"
STATE = f"{PUT}/state"

CALLS_MAX = 16

# CONNACK 4 and 5 of MQTT 3.1.1; paho 2 shows them as 134 and 135.
STALE_TOKEN = (4, 5, 134, 135)

stop = threading.Event()
ready = threading.Event()
exit_code = 0
calls = {}  # the id of each call under way → an event that is set when nobody waits for the answer any more


def end(code):
    global exit_code
    exit_code = code
    stop.set()


def on_connect(client, userdata, flags, reason, properties=None):
    code = getattr(reason, "value", reason)
    if code in STALE_TOKEN:
        print(f"the node refused this token (CONNACK {code}): another start took over", file=sys.stderr, flush=True)
        end(1)
    elif code == 0:
        client.subscribe(f"{COMMANDS}/#", qos=1)


def on_subscribe(client, userdata, mid, granted, properties=None):
    client.publish(STATE, "ready", qos=1)
    ready.set()


def on_disconnect(client, userdata, *reason):
    ready.clear()
    for gone in list(calls.values()):
        gone.set()


def on_message(client, userdata, message):
    text = message.payload.decode("utf-8", "replace")
    call, _, below = message.topic[len(COMMANDS) + 1 :].partition("/")
    if not call:
        print(f"command: {text}", flush=True)
    elif below == "cancel" and call in calls:
        calls[call].set()
    elif not below and len(calls) >= CALLS_MAX:
        client.publish(f"{PUT}/reply/{call}/error", f"expected at most {CALLS_MAX} calls at once, got one more", qos=1)
    elif not below:
        calls[call] = threading.Event()
        # Not here: while this function runs, paho sends nothing and acknowledges nothing.
        threading.Thread(target=answer, args=(client, call, text, calls[call]), daemon=True).start()


def answer(client, call, text, gone):
    reply = f"{PUT}/reply/{call}"
    try:
        if not text.startswith("watch "):
            client.publish(f"{reply}/end", json.dumps(entry(text or PATH)), qos=1)
            return
        for _ in range(int(text[len("watch ") :])):
            # Waits for the acknowledgement, which comes at the pace of the caller.
            client.publish(reply, json.dumps(entry(PATH)), qos=1).wait_for_publish()
            if gone.wait(1):
                return
        client.publish(f"{reply}/end", qos=1)
    except (OSError, ValueError, RuntimeError) as error:
        client.publish(f"{reply}/error", str(error), qos=1)
    finally:
        calls.pop(call, None)


def new_client():
    if hasattr(mqtt, "CallbackAPIVersion"):
        return mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    return mqtt.Client()


def entry(path):
    disk = shutil.disk_usage(path)
    return {
        "ts": int(time.time() * 1000),
        "path": path,
        "total_bytes": disk.total,
        "free_bytes": disk.free,
        "load": os.getloadavg(),
    }


def main():
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())

    client = new_client()
    client.username_pw_set(TASK, TOKEN)
    client.will_set(STATE, "lost", qos=1)
    client.reconnect_delay_set(min_delay=1, max_delay=5)
    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.on_disconnect = on_disconnect
    client.on_message = on_message
    client.connect_async(URL.hostname, URL.port or 1883, keepalive=KEEPALIVE)
    client.loop_start()

    due = time.monotonic()
    while not stop.is_set():
        # While the node is away nothing is measured: paho would keep it all and send it late.
        if ready.is_set():
            client.publish(PUT, json.dumps(entry(PATH)), qos=1)
        due = max(due + 1, time.monotonic())
        stop.wait(due - time.monotonic())

    client.disconnect()
    client.loop_stop()
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
