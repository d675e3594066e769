/** What pidusage remembers of each pid between two calls; not part of its public face. */
declare module 'pidusage/lib/history.js' {
  interface Entry {
    /** Of `/proc/PID/stat`, kept open. */
    readonly fd?: number;
  }
  const history: {
    get(pid: number, maxAgeMs: number): Entry | undefined;
    set(pid: number, entry: Entry, maxAgeMs: number, onExpire: (entry: Entry) => void): void;
  };
  export = history;
}
