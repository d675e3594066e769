#!/usr/bin/python3
"""A business app in Python on paho-mqtt (1.6 or 2.x): calls a task and prints its answer as it comes.

    call.py [--host 127.0.0.1] [--port 1883] [--task llm] [--timeout-ms 30000] payload

The request names a reply topic of its own; each part of the answer is one message there, and `last` is true on the
final one. Ctrl-C disconnects, which cancels the call: the worker stops.
"""

import argparse
import base64
import json
import secrets
import sys

try:
    import paho.mqtt.client as mqtt
except ImportError:
    sys.exit("call: needs paho-mqtt for this Python; on Debian: apt install python3-paho-mqtt")

parser = argparse.ArgumentParser(description="Call a task and print its answer.")
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, default=1883)
parser.add_argument("--task", default="llm")
parser.add_argument("--timeout-ms", type=int, default=30_000, help="longest wait for the whole answer")
parser.add_argument("payload", help="handed to the worker as it is")
options = parser.parse_args()

REPLY = f"m/reply/{secrets.token_hex(8)}"
failure = None


def on_connect(client, userdata, flags, reason, properties=None):
    if getattr(reason, "value", reason) == 0:
        client.subscribe(REPLY, qos=1)
    else:
        end(client, f"the node refused the connection: {reason}")


def on_subscribe(client, userdata, mid, granted, properties=None):
    request = {"cmd": "call", "task_id": options.task, "payload": options.payload, "reply_to": REPLY}
    client.publish("m/cmd", json.dumps({**request, "timeout_ms": options.timeout_ms}), qos=1)


def on_message(client, userdata, message):
    reply = json.loads(message.payload)
    if reply["status"] != "ok":
        end(client, f"{reply['code']}: {reply['error']}")
        return
    part = reply["data"]
    payload = part["payload"].encode() if "payload" in part else base64.b64decode(part["payload_base64"])
    sys.stdout.buffer.write(payload)
    sys.stdout.buffer.flush()
    if part["last"]:
        print()
        end(client)


def on_disconnect(client, userdata, *reason):
    # A lost connection has cancelled the call. Asking again could do the work twice: that is for the user to decide.
    end(client, "the connection was lost")


def end(client, why=None):
    global failure
    failure = why
    client.on_disconnect = None
    client.disconnect()


def main():
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2) if hasattr(mqtt, "CallbackAPIVersion") else mqtt.Client()
    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.on_message = on_message
    client.on_disconnect = on_disconnect
    try:
        client.connect(options.host, options.port, keepalive=30)
    except OSError as error:
        return f"no node at {options.host}:{options.port}: {error}"
    try:
        client.loop_forever()
    except KeyboardInterrupt:
        end(client, "cancelled")
    return failure


if __name__ == "__main__":
    sys.exit(main())
