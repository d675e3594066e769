#!/bin/sh
# A sensor that knows nothing of super-node: a loop around mosquitto_pub. Its first put creates the task
# `shell-sensor`. Usage: shell-sensor.sh [how many readings; default: without end] [seconds between them]
count=${1:-0}
every=${2:-1}
host=${MQTT_HOST:-127.0.0.1}
port=${MQTT_PORT:-1883}

n=0
while [ "$count" -eq 0 ] || [ "$n" -lt "$count" ]; do
  n=$((n + 1))
  free_kb=$(df -Pk / | awk 'NR == 2 { print $4 }')
  mosquitto_pub -h "$host" -p "$port" -q 1 -t w/ch/shell-sensor -m "{\"n\":$n,\"root_free_kb\":$free_kb}" || exit 1
  sleep "$every"
done
