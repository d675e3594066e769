import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { connect, type MqttClient } from 'mqtt';
import { shownUrl } from '../core/address.js';
import { describe, SuperNodeError } from '../core/errors.js';
import { withoutDelay } from '../core/shape.js';
import { Calls, type OnCall } from './calls.js';
import { DupStore } from './dup-store.js';
import { Outbox } from './outbox.js';
import { bytesOf } from './payload.js';
import { type Settings, type SettingsGiven, settingsOf } from './settings.js';

export type { Call, CallAnswer, OnCall } from './calls.js';
export type { Payload } from './payload.js';

/** Takes one command, as the bytes that came. What it throws is told on stderr; the worker goes on. */
export type OnCommand = (payload: Buffer) => void | Promise<void>;

export interface WorkerOptions extends SettingsGiven {
  /** Given: the worker takes commands (`m/cmd/<task>`, `send`). */
  readonly onCommand?: OnCommand | undefined;
  /** Given: the worker answers calls (`call`), up to 256 at once. What it returns is the answer, an async iterable or a
   *  generator a stream of parts, which goes on at the pace of the caller. A part must fit the node's `packet_bytes`
   *  (1 MiB by default): a larger one closes the connection. */
  readonly onCall?: OnCall | undefined;
  /** Called when the node refuses the token: another start took over, or the task is stopped. Default: a child of the
   *  node ends its process with exit code 4; for a net client `connectWorker` rejects, or further puts do. */
  readonly onStale?: ((error: SuperNodeError) => void) | undefined;
}

export interface PutOptions {
  /** 1, the default: acknowledged once it is in the queue, and sent again until then. 0: sent once. */
  readonly qos?: 0 | 1 | undefined;
}

/** Puts and reports that may be without acknowledgement at a time; one more is refused with SN_ERR_LIMIT. */
const PENDING_MAX = 1_000;
const PENDING_BYTES_MAX = 16_777_216;
/** How long `close` waits for what is not acknowledged. */
const CLOSE_WAIT_MS = 2_000;
const GOODBYE_MS = 500;
/** Waiting for a goodbye keeps no process alive. */
const UNREF = { ref: false };
const CONNACK_WAIT_MS = 10_000;
/** CONNACK return codes "bad user name or password" and "not authorized" [MQTT-3.2.2-3]. */
const STALE_CODES: readonly unknown[] = [4, 5];
const STALE_EXIT_CODE = 4;

/** Connects this process to its node as a worker. A child of the node needs no options: they come from the environment
 *  (SN_URL, SN_TASK_ID, SN_TOKEN, SN_KEEPALIVE in seconds, SN_TOPIC_PREFIX, SN_START_PARAMS). A net client gives `url`
 *  and `taskId` and registers by its last will. Tries until the node is there, and again whenever it goes; says so once
 *  on stderr. Publishes nothing by itself.
 *  @throws SuperNodeError SN_ERR_CONFIG or SN_ERR_TASK_ID for settings that are missing or wrong; SN_ERR_FORBIDDEN when
 *    the node refuses a net client */
export async function connectWorker(options: WorkerOptions = {}): Promise<Worker> {
  const settings = settingsOf(options, process.env);
  const worker = new Worker(settings, mqttClient(settings), options);
  await worker.start();
  return worker;
}

/** One channel of a task: puts entries, takes commands, answers calls. Made by {@link connectWorker}. */
export class Worker {
  /** The task this worker carries out. */
  readonly taskId: string;
  /** The task's `start_params`; empty where none were given. */
  readonly startParams: string;
  /** Which worker of a pool (`instances`) this is, from 1. */
  readonly instance: number;
  readonly #settings: Settings;
  readonly #options: WorkerOptions;
  readonly #client: MqttClient;
  readonly #outbox: Outbox;
  readonly #calls: Calls;
  #outageTold = false;
  #strayTold = false;
  #closing: Promise<void> | undefined;

  constructor(settings: Settings, client: MqttClient, options: WorkerOptions) {
    this.taskId = settings.taskId;
    this.startParams = settings.startParams;
    this.instance = settings.instance;
    this.#settings = settings;
    this.#options = options;
    this.#client = client;
    this.#outbox = new Outbox(
      ({ topic, payload, qos }, done) => client.publish(topic, payload, { qos }, done),
      PENDING_MAX,
      PENDING_BYTES_MAX,
    );
    this.#calls = new Calls({
      topics: settings.topics,
      taskId: settings.taskId,
      send: (topic, payload, acknowledged) => sendAnswer(client, topic, payload, acknowledged),
      tell: (text) => this.#tell(text),
      onCall: options.onCall,
    });
  }

  /** Begins; resolves when connected and, with `onCommand` or `onCall`, subscribed. `connectWorker` calls it. */
  async start(): Promise<void> {
    const client = this.#client;
    const connected = new Promise<void>((resolve, reject) => {
      client.once('connect', () => resolve());
      client.on('error', (error) => this.#onError(error, reject));
    });
    client.on('connect', () => {
      withoutDelay(client.stream);
      this.#outageTold = false;
      this.#outbox.online();
    });
    client.on('close', () => {
      this.#outbox.offline();
      this.#calls.lost();
    });
    client.on('message', (topic, payload) => this.#receive(topic, payload));
    await connected;
    const { onCommand, onCall } = this.#options;
    if (onCommand || onCall) await this.#subscribe(`${this.#settings.topics.workerCmd(this.taskId)}/#`);
  }

  /** Puts one entry into the task's queue: text as UTF-8, bytes as they are, anything else as JSON. Resolves when the
   *  node has it: it is in the queue, or was dropped by the task's own policy and counted. While there is no connection
   *  it waits, with at most 999 others and 16 MiB in all.
   *  @throws SuperNodeError SN_ERR_LIMIT when that is full, SN_ERR_NO_CHANNEL after `close`, SN_ERR_FORBIDDEN when stale,
   *    SN_ERR_JSON for a value that JSON cannot hold */
  async put(payload: string | Uint8Array | object, { qos = 1 }: PutOptions = {}): Promise<void> {
    await this.#outbox.add({ topic: this.#settings.topics.put(this.taskId), payload: bytesOf('put', payload), qos });
  }

  /** Reports `ready`: the birth of a net client, or of a child that has more to do than to connect. Resolves when the
   *  node has it.
   *  @throws as {@link Worker.put} does */
  ready(): Promise<void> {
    const topic = this.#settings.topics.workerState(this.taskId);
    return this.#outbox.add({ topic, payload: Buffer.from('ready'), qos: 1 });
  }

  /** Aborts calls that are not answered yet, waits up to 2 seconds for their handlers and for acknowledgements, then says
   *  goodbye with a DISCONNECT, which fires no last will. What is left is rejected. Idempotent; never rejects. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const acknowledged = this.#client.connected ? this.#outbox.empty() : undefined;
    await Promise.race([Promise.all([this.#calls.close(), acknowledged]), pause(CLOSE_WAIT_MS, undefined, UNREF)]);
    this.#outbox.close(
      new SuperNodeError('SN_ERR_NO_CHANNEL', `${this.taskId}: expected an open worker, got a closed one`),
    );
    if (!this.#client.connected) return void this.#client.end(true);
    // mqtt.js says goodbye only once nothing is under way; what still is has just been rejected.
    for (const packetId of Object.keys(this.#client.outgoing)) this.#client.removeOutgoingMessage(Number(packetId));
    await Promise.race([this.#client.endAsync(), pause(GOODBYE_MS, undefined, UNREF)]);
    this.#client.stream.destroy();
  }

  #onError(error: Error & { code?: unknown }, reject: (error: SuperNodeError) => void): void {
    if (STALE_CODES.includes(error.code)) {
      this.#client.end(true);
      const stale = new SuperNodeError(
        'SN_ERR_FORBIDDEN',
        `${this.taskId}: expected the node to accept this worker, got CONNACK ${error.code}`,
      );
      this.#outbox.close(stale);
      reject(stale);
      this.#stale(stale);
    } else if (!this.#outageTold) {
      this.#outageTold = true;
      this.#tell(`no connection to ${shownUrl(this.#settings.url)} (${error.message || error.code}), trying on`);
    }
  }

  #stale(error: SuperNodeError): void {
    const { onStale } = this.#options;
    if (onStale !== undefined) onStale(error);
    else if (this.#settings.token !== undefined) {
      this.#tell(`${error.message}; another start took over`);
      process.exit(STALE_EXIT_CODE);
    }
  }

  async #subscribe(filter: string): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#client.subscribe(filter, { qos: 1 }, (_error, granted) => {
        const refused = granted?.some(({ qos }) => qos === 128);
        if (refused) this.#tell(`expected to be allowed to take commands on ${filter}, got a refusal`);
        // A connection that went meanwhile subscribes again by itself.
        resolve();
      });
    });
  }

  #receive(topic: string, payload: Buffer): void {
    if (topic !== this.#settings.topics.workerCmd(this.taskId)) this.#calls.receive(topic, payload);
    else if (this.#options.onCommand !== undefined) this.#run(this.#options.onCommand, payload);
    else if (!this.#strayTold) {
      this.#strayTold = true;
      this.#tell('expected calls only, got a command; it and further ones are ignored');
    }
  }

  /** Not awaited: while a handler holds up mqtt.js, PUBACKs and PINGRESPs wait as well, and a put in it never ends. */
  #run(onCommand: OnCommand, payload: Buffer): void {
    const tell = (thrown: unknown) =>
      this.#tell(`onCommand failed: ${thrown instanceof Error ? thrown.stack : describe(thrown)}`);
    try {
      Promise.resolve(onCommand(payload)).catch(tell);
    } catch (thrown) {
      tell(thrown);
    }
  }

  #tell(text: string): void {
    process.stderr.write(`super-node worker ${this.taskId}: ${text}\n`);
  }
}

function mqttClient(settings: Settings): MqttClient {
  const { url, taskId, token, generation, keepaliveS, topics, reconnectMs } = settings;
  return connect(url, {
    protocolVersion: 4,
    clean: true,
    clientId: `${taskId}-${generation}-${randomBytes(4).toString('hex')}`,
    keepalive: keepaliveS,
    ...(token === undefined ? {} : { username: taskId, password: token }),
    will: { topic: topics.workerState(taskId), payload: Buffer.from('lost'), qos: 1, retain: false },
    reconnectPeriod: reconnectMs,
    reconnectOnConnackError: true,
    connectTimeout: CONNACK_WAIT_MS,
    outgoingStore: new DupStore(),
  });
}

function sendAnswer(client: MqttClient, topic: string, payload: Buffer, acknowledged: () => void): () => void {
  client.publish(topic, payload, { qos: 1 }, (error) => {
    // A client that is ending calls back at once: a stream that took it for an acknowledgement would never pause.
    if (!error) acknowledged();
  });
  const packetId = client.getLastMessageId();
  return () => client.removeOutgoingMessage(packetId);
}
