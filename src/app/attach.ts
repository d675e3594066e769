import type { Aedes } from 'aedes';
import { ConfigSchema } from '../core/config-schema.js';
import { SuperNodeError } from '../core/errors.js';
import type { Logger } from '../core/ports.js';
import { validate } from '../core/validate.js';
import { checkConfig } from './config-check.js';
import { createLog } from './log.js';
import { type NodeConfig, SuperNode } from './super-node.js';

/** The options of the config file (docs/config.md), and these. */
export interface AttachOptions extends NodeConfig {
  /** Where workers connect, such as `mqtt://127.0.0.1:1883`. Without it SN_URL is not set. */
  readonly url?: string;
  /** A pino logger, or anything with its methods. Default: warnings and errors to stdout. */
  readonly log?: Logger;
}

/** Makes a node of a broker of yours. Attach before you create servers, and give them `node.handle`:
 *  a connection that goes to the broker directly is an ordinary client of it, whose `m/…` and `w/…` publishes are
 *  acknowledged and dropped.
 *  @param broker From `Aedes.createBroker()`. Its hooks are called first, and restored by `node.close()`.
 *  @throws SuperNodeError SN_ERR_CONFIG for the options, SN_ERR_DATA_DIR */
export async function attach(broker: Aedes, options: AttachOptions = {}): Promise<SuperNode> {
  assertBroker(broker);
  const { url, log = createLog({ level: 'warn' }), ...rest } = options;
  const config = validate(ConfigSchema, rest, 'SN_ERR_CONFIG', 'attach');
  checkConfig(config);
  const node = new SuperNode({ broker, config, log });
  try {
    await node.attach();
    await node.startTasks({ mqtt: url });
    return node;
  } catch (error) {
    await node.close();
    throw error;
  }
}

/** @throws SuperNodeError SN_ERR_CONFIG where the broker is none */
function assertBroker(broker: unknown): asserts broker is Aedes {
  if (typeof broker === 'object' && broker !== null && 'handle' in broker && 'authorizePublish' in broker) return;
  throw new SuperNodeError(
    'SN_ERR_CONFIG',
    'broker: expected an Aedes broker (await Aedes.createBroker()), got something else',
  );
}
