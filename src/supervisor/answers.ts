import { SuperNodeError } from '../core/errors.js';
import type { AnsweredCommand, Outcome } from './worker-states.js';

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: SuperNodeError) => void;
}

const REFUSALS = {
  superseded: { code: 'SN_ERR_SUPERSEDED', why: 'a later stop or remove overtook it' },
  unkillable: { code: 'SN_ERR_UNKILLABLE', why: 'expected SIGKILL to end the process, it lives on' },
  closing: { code: 'SN_ERR_CLOSING', why: 'the node went down before it was done' },
} as const;

/** Who waits for a command on one task. Each is answered once. */
export class Answers {
  readonly #waiting: Record<AnsweredCommand, Waiter[]> = { stop: [], restart: [], remove: [] };

  wait(command: AnsweredCommand): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting[command].push({ resolve, reject });
    });
  }

  settle(command: AnsweredCommand, outcome: Outcome | 'closing', taskId: string): void {
    for (const { resolve, reject } of this.#waiting[command].splice(0)) {
      if (outcome === 'done') resolve();
      else reject(new SuperNodeError(REFUSALS[outcome].code, `${command} ${taskId}: ${REFUSALS[outcome].why}`));
    }
  }
}
