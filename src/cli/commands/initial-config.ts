/** What `super-node init` writes. A test checks that it is valid. */
export const INITIAL_CONFIG = `# A super-node. All options: docs/config.md. Check it with: super-node check
# \${NAME} takes an environment variable. Relative paths start at this file.

name: edge-1                          # shows in m/info

# Where the node remembers its children, so that a start after a crash first ends what is left of them, and the tasks
# that were started or stopped by command.
data_dir: ./data

# Without users the node listens on loopback only: whoever connects may start what stands below \`workers\`.
listeners:
  - { type: mqtt, host: 127.0.0.1, port: 1883 }
  - { type: http, host: 127.0.0.1, port: 8080 }   # REST, documents at /docs, MQTT over WebSocket at /mqtt

# Templates: what may be started, by name. Nothing here runs by itself. Try: super-node start clock -w clock
workers:
  clock:                              # a program that knows no MQTT: its lines go to m/log/<task>
    command: [sh, -c, "while date; do sleep 1; done"]
    ready: spawn
  # camera:                           # a worker that speaks MQTT; see docs/protocol.md
  #   command: [./workers/camera.py, "{start_params}"]
  #   env: { CAMERA_PASSWORD: "\${CAMERA_PASSWORD}" }
  #   heartbeat_interval: 15000       # silent for 1.5 times this: frozen, restarted
  #   queue: { length: 100 }
  #   pin: [heartbeat_interval]       # no task may change it

# Tasks that the node starts by itself.
tasks: []
  # - { task_id: cam1, worker: camera, start_params: "rtsp://cam1/stream" }

# Publishes of devices that know nothing of super-node, copied into a task's queue.
routes: []
  # - { from: "tele/+/SENSOR", task_id: "tasmota-{1}" }

# Bounds of each task's queue.
queue: { length: 1000, bytes: 16777216, overflow: drop_oldest }

log: { level: info }
`;
