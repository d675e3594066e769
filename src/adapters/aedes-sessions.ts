import type { Aedes, Client } from 'aedes';
import type { Cancel, Clock, Logger } from '../core/ports.js';
import { hasMethods } from '../core/shape.js';
import { isLasting, type Lasting, type Persistence } from './aedes-persistence.js';

/** How often ages are looked at: ten times in the life of a session, but neither more nor less often than this. */
const LEAST_PERIOD_MS = 1_000;
const MOST_PERIOD_MS = 60_000;
/** The wall clock was set when it moved against the monotonic one by so much. */
const CLOCK_SET_MS = 5_000;

export interface StoredSessionsParts {
  readonly broker: Pick<Aedes, 'on' | 'removeListener'>;
  readonly persistence: Persistence;
  readonly clock: Clock;
  readonly log: Logger;
  readonly sessionsMax: number;
  /** How long a client may stay away. 0: for ever. */
  readonly expiryMs: number;
  /** A session was forgotten, with so many messages that it had not delivered. */
  dropped(clientId: string, why: 'expired' | 'too_many', messages: number): void;
}

/** How long each client with clean=false is away. Its session, with what is kept for it, is forgotten when that is too
 *  long, or when there are too many: the one that is away for longest goes.
 *
 *  Ages are counted by the monotonic clock; the wall clock only carries them over a restart, so what it says is
 *  corrected when it is set: a machine without a battery begins in 1970. */
export class StoredSessions {
  readonly #parts: StoredSessionsParts;
  readonly #lasting: Lasting | undefined;
  readonly #online = new Set<string>();
  /** Since when, by the monotonic clock; the longest first. */
  readonly #offline = new Map<string, number>();
  #wallAheadMs = 0;

  constructor(parts: StoredSessionsParts) {
    this.#parts = parts;
    this.#lasting = isLasting(parts.persistence) ? parts.persistence : undefined;
  }

  /** How many clients are away whose session is kept. */
  get away(): number {
    return this.#offline.size;
  }

  /** @returns ends it */
  start(): Cancel {
    const { broker, clock, expiryMs } = this.#parts;
    const came = (client: Client) => this.#came(client);
    const went = (client: Client) => this.#went(client);
    this.#wallAheadMs = clock.wallNow() - clock.now();
    this.#remember();
    broker.on('client', came);
    broker.on('clientDisconnect', went);
    const periodMs = Math.min(MOST_PERIOD_MS, Math.max(LEAST_PERIOD_MS, expiryMs / 10));
    const cancel = clock.every(expiryMs === 0 ? MOST_PERIOD_MS : periodMs, () => this.#look());
    return () => {
      cancel();
      broker.removeListener('client', came);
      broker.removeListener('clientDisconnect', went);
    };
  }

  /** As the last run left them. Who was there when it ended is away from now on. */
  #remember(): void {
    const { clock } = this.#parts;
    const found = (this.#lasting?.storedSessions() ?? []).map(({ id, offlineSinceMs }) => {
      const awayMs = offlineSinceMs === undefined ? 0 : Math.max(0, clock.wallNow() - offlineSinceMs);
      return { id, awayMs, isNew: offlineSinceMs === undefined };
    });
    for (const { id, awayMs, isNew } of found.sort((a, b) => b.awayMs - a.awayMs)) {
      this.#offline.set(id, clock.now() - awayMs);
      if (isNew) this.#lasting?.noteSession(id, clock.wallNow());
    }
    this.#bound();
    this.#look();
  }

  #came({ id, clean }: Client): void {
    this.#offline.delete(id);
    this.#lasting?.noteSession(id, undefined);
    if (clean) this.#online.delete(id);
    else this.#online.add(id);
    this.#bound();
  }

  #went({ id, clean }: Client): void {
    const { clock } = this.#parts;
    this.#online.delete(id);
    this.#offline.delete(id);
    if (clean || this.#lasting?.noteSession(id, clock.wallNow()) === false) return;
    this.#offline.set(id, clock.now());
  }

  #bound(): void {
    for (const id of this.#offline.keys()) {
      if (this.#online.size + this.#offline.size <= this.#parts.sessionsMax) return;
      this.#forget(id, 'too_many');
    }
  }

  #look(): void {
    const { clock, expiryMs } = this.#parts;
    const now = clock.now();
    const wallNow = clock.wallNow();
    if (Math.abs(wallNow - now - this.#wallAheadMs) > CLOCK_SET_MS) {
      this.#wallAheadMs = wallNow - now;
      for (const [id, sinceMs] of this.#offline) this.#lasting?.noteSession(id, wallNow - (now - sinceMs));
    }
    if (expiryMs === 0) return;
    for (const [id, sinceMs] of this.#offline) {
      if (now - sinceMs < expiryMs) return;
      this.#forget(id, 'expired');
    }
  }

  #forget(id: string, why: 'expired' | 'too_many'): void {
    const { dropped, log } = this.#parts;
    this.#offline.delete(id);
    this.#clear({ id }).then(
      (messages) => dropped(id, why, messages),
      (error: unknown) => log.error({ err: error, client_id: id }, 'a stored session could not be forgotten'),
    );
  }

  /** By what every persistence has. */
  async #clear(client: { readonly id: string }): Promise<number> {
    const { persistence } = this.#parts;
    let messages = 0;
    await persistence.cleanSubscriptions(client);
    for await (const packet of persistence.outgoingStream(client)) {
      // It came back meanwhile, and has what is left.
      if (this.#online.has(client.id)) return messages;
      if (await persistence.outgoingClearMessageId(client, packet)) messages++;
    }
    if (keepsIncoming(persistence)) await persistence.cleanIncoming(client);
    return messages;
  }
}

function keepsIncoming(value: object): value is { cleanIncoming(client: { readonly id: string }): Promise<void> } {
  return hasMethods(value, 'cleanIncoming');
}
