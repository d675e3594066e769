#!/usr/bin/python3
"""A worker in Python on paho-mqtt (1.6 or 2.x), written from docs/protocol.md alone.

Puts one entry a second: how full a file system is, and the load. start_params names the path (default /).
A command that arrives is printed; it then stands in m/log/<task>.
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

# CONNACK 4 and 5 of MQTT 3.1.1; paho 2 shows them as 134 and 135.
STALE_TOKEN = (4, 5, 134, 135)

stop = threading.Event()
ready = threading.Event()
exit_code = 0


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


def on_message(client, userdata, message):
    print(f"command: {message.payload.decode('utf-8', 'replace')}", flush=True)


def new_client():
    if hasattr(mqtt, "CallbackAPIVersion"):
        return mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    return mqtt.Client()


def entry():
    disk = shutil.disk_usage(PATH)
    return {
        "ts": int(time.time() * 1000),
        "path": PATH,
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
            client.publish(PUT, json.dumps(entry()), qos=1)
        due = max(due + 1, time.monotonic())
        stop.wait(due - time.monotonic())

    client.disconnect()
    client.loop_stop()
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
