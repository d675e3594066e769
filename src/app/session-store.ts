import { join } from 'node:path';
import { type DataDir, openDataDir } from '../adapters/data-dir.js';
import { LastingPersistence } from '../adapters/lasting-persistence.js';
import { asSuperNodeError } from '../core/errors.js';
import type { Clock, Logger } from '../core/ports.js';

type Tell = (type: 'storage_failed' | 'storage_recovered', data: Record<string, unknown>) => void;

/** Sessions, their messages and retained messages of the broker, in `broker` of the data directory. What is there and
 *  cannot be read stays as it is, and the broker begins anew, in memory: a node that does not start is worse. */
export class SessionStore {
  /** Held for as long as the store is open. */
  readonly directory: DataDir;
  readonly #log: Logger;
  #persistence: LastingPersistence | undefined;
  #error: string | undefined;
  #tell: Tell | undefined;

  private constructor(directory: DataDir, log: Logger) {
    this.directory = directory;
    this.#log = log;
  }

  /** @throws SuperNodeError SN_ERR_DATA_DIR when another node uses the directory, or it cannot be used at all */
  static async open(dataDir: string, log: Logger, clock: Clock): Promise<SessionStore> {
    const store = new SessionStore(openDataDir(dataDir), log);
    await store.#open(clock);
    return store;
  }

  /** For the broker. Undefined: it has to do with its memory. */
  get persistence(): LastingPersistence | undefined {
    return this.#persistence;
  }

  /** Why nothing can be written, or read, for people; undefined: it can. */
  get error(): string | undefined {
    return this.#error;
  }

  /** Tells trouble from now on, also that there is some already. */
  watch(tell: Tell): void {
    this.#tell = tell;
    if (this.#error !== undefined) tell('storage_failed', { what: 'sessions', error: this.#error });
  }

  /** After the broker: its last changes are written, then the directory is free. */
  async close(): Promise<void> {
    await this.#persistence?.close();
    this.directory.close();
  }

  async #open(clock: Clock): Promise<void> {
    const log = this.#log;
    const path = join(this.directory.path, 'broker');
    try {
      this.#persistence = await LastingPersistence.open(path, {
        clock,
        log,
        failed: (error) => {
          log.error({ err: error, path }, 'sessions and retained messages cannot be written, trying on');
          this.#failed(error);
        },
        recovered: () => {
          log.info({ path }, 'sessions and retained messages are written again');
          this.#error = undefined;
          this.#tell?.('storage_recovered', { what: 'sessions' });
        },
      });
    } catch (error) {
      log.error({ err: error, path }, 'sessions and retained messages are kept in memory only, what is on disk stays');
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    this.#error = asSuperNodeError(error).message;
    this.#tell?.('storage_failed', { what: 'sessions', error: this.#error });
  }
}
