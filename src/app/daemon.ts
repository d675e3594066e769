import { Aedes } from 'aedes';
import { mqttServer, type OpenListener, openListener } from '../adapters/listeners.js';
import { systemClock } from '../adapters/system-clock.js';
import { DEFAULT_HOST } from '../core/address.js';
import type { ListenerWire } from '../core/config-schema.js';
import { LIMITS } from '../core/limits.js';
import type { LoadedConfig } from './config-file.js';
import { createLog } from './log.js';
import { SessionStore } from './session-store.js';
import { SuperNode } from './super-node.js';

/** A node with a broker and listeners of its own. */
export interface Daemon {
  /** The listeners in the order of the config, with the ports in use. */
  readonly listeners: readonly Pick<OpenListener, 'type' | 'host' | 'port' | 'url'>[];
  /** Ends the workers, then everything else, in reverse order of the start. Idempotent. */
  close(): Promise<void>;
}

/** Starts a node. What was begun is undone when a later step fails.
 *  @throws SuperNodeError SN_ERR_LISTEN, SN_ERR_DATA_DIR */
export async function startDaemon(config: LoadedConfig): Promise<Daemon> {
  const { listeners: wanted, log: logOptions, ...rest } = config;
  // A node of its own keeps what it acknowledged; a plugin is as lasting as its host wants it.
  const queue = { storage: config.data_dir === undefined ? ('memory' as const) : ('disk' as const), ...config.queue };
  const nodeConfig = { sys_interval: LIMITS.sysIntervalS, ...rest, queue };
  const log = createLog(logOptions);
  // Before the broker, which needs what is stored; the directory stays ours until after it.
  const store = config.data_dir === undefined ? undefined : await SessionStore.open(config.data_dir, log, systemClock);
  const broker = await Aedes.createBroker(store?.persistence ? { persistence: store.persistence } : {});
  broker.addListener('error', (error: unknown) => log.error({ err: error }, 'the broker met an error'));
  const node = new SuperNode({ broker, config: nodeConfig, log, store });
  const open: OpenListener[] = [];
  let closed: Promise<void> | undefined;
  const close = async () => {
    // No new connections; open ones stay until the workers have gone.
    const shut = open.map((listener) => listener.close());
    await node.close();
    await new Promise<void>((resolve) => broker.close(resolve));
    await Promise.all(shut);
    await store?.close();
  };
  try {
    await node.attach();
    for (const listener of wanted) {
      open.push(await openListener({ listener, log, server: await serverOf(node, listener) }));
    }
    const listeners = open.map(({ type, host, port, url }) => ({ type, host, port, url }));
    log.info({ listeners }, `listening on ${listeners.map(({ url }) => url).join(', ')}`);
    const urlOf = (wanted: string) => listeners.find(({ type }) => type === wanted)?.url;
    await node.startTasks({ mqtt: urlOf('mqtt'), http: urlOf('http') }, { listeners });
    return {
      listeners,
      close: () => {
        closed ??= close().then(() => log.info({}, 'stopped'));
        return closed;
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function serverOf(node: SuperNode, { type, host = DEFAULT_HOST, origins = [] }: ListenerWire) {
  return type === 'mqtt' ? mqttServer(node.handle) : (await node.httpServer({ host, origins })).server;
}
