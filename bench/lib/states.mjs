/** The states of all tasks, as they come. */
export class States {
  #last = new Map();
  #waiting = new Map();

  constructor(client) {
    client.onMessage = (topic, payload) => {
      const atMs = performance.now();
      const { state, pid, cause, ts } = JSON.parse(payload.toString());
      const taskId = topic.slice('m/state/'.length);
      // The retained copy that a new subscription brings may be older than what came live.
      if (ts < this.#last.get(taskId)?.ts) return;
      this.#last.set(taskId, { state, pid, cause, ts, atMs });
      this.#waiting.get(taskId)?.();
    };
  }

  reached(taskId, wanted, waitMs) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${taskId}: not ${wanted} within ${waitMs} ms`)), waitMs);
      const look = () => {
        const last = this.#last.get(taskId);
        if (last?.state !== wanted) return;
        clearTimeout(timer);
        this.#waiting.delete(taskId);
        resolve(last);
      };
      this.#waiting.set(taskId, look);
      look();
    });
  }
}
