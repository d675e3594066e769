/** Every error a caller can meet: what it means, the HTTP status it maps to, whether trying again can help. */
export const ERROR_TABLE = {
  SN_ERR_JSON: { status: 400, retryable: false, means: 'the payload is not a JSON object, or nests too deep' },
  SN_ERR_REQUEST: { status: 400, retryable: false, means: 'a field is missing, unknown, or of the wrong type' },
  SN_ERR_COMMAND_UNKNOWN: { status: 400, retryable: false, means: 'no such command' },
  SN_ERR_TASK_ID: { status: 400, retryable: false, means: 'the task id does not fit its pattern' },
  SN_ERR_TOPIC: { status: 400, retryable: false, means: 'no such topic below m/ or w/, or too many levels' },
  SN_ERR_HTTP: { status: 400, retryable: false, means: 'the bytes are no HTTP request, or not encoded as it says' },
  SN_ERR_UNAUTHORIZED: { status: 401, retryable: false, means: 'the user name and password are not those of anybody' },
  SN_ERR_FORBIDDEN: { status: 403, retryable: false, means: 'the caller may not do this' },
  SN_ERR_TASK_UNKNOWN: { status: 404, retryable: false, means: 'no task has this id' },
  SN_ERR_ROUTE_UNKNOWN: { status: 404, retryable: false, means: 'nothing is served at this path' },
  SN_ERR_WORKER_UNKNOWN: { status: 404, retryable: false, means: 'no worker template has this name' },
  SN_ERR_METHOD: { status: 405, retryable: false, means: 'the path does not know this method' },
  SN_ERR_TIMEOUT: { status: 408, retryable: true, means: 'the request did not arrive in its time' },
  SN_ERR_TASK_EXISTS: { status: 409, retryable: false, means: 'the task runs with another record' },
  SN_ERR_GROUP_UNKNOWN: { status: 404, retryable: false, means: 'the task has no such group' },
  SN_ERR_LEASE_UNKNOWN: { status: 409, retryable: false, means: 'the lease ended, or all its entries are gone' },
  SN_ERR_NO_CHANNEL: { status: 409, retryable: true, means: 'no worker of the task is connected' },
  SN_ERR_NOT_RUNNING: { status: 409, retryable: true, means: 'the task has no running process' },
  SN_ERR_SUPERSEDED: { status: 409, retryable: true, means: 'a later command for the task overtook this one' },
  SN_ERR_UNKILLABLE: { status: 409, retryable: true, means: 'SIGKILL does not end the process of the task' },
  SN_ERR_CALL_FAILED: { status: 502, retryable: false, means: 'the worker answered the call with an error' },
  SN_ERR_WORKER_GONE: { status: 502, retryable: true, means: 'the worker died or went away under the call' },
  SN_ERR_CALL_TIMEOUT: { status: 504, retryable: true, means: 'the call was not answered in its time' },
  SN_ERR_TOO_LARGE: { status: 413, retryable: false, means: 'the body, or one entry of it, is over its bound' },
  SN_ERR_MEDIA_TYPE: {
    status: 415,
    retryable: false,
    means: 'the body is of a type or encoding that the path does not take',
  },
  SN_ERR_UPGRADE: { status: 426, retryable: false, means: 'the path is for a WebSocket' },
  SN_ERR_LIMIT: { status: 429, retryable: true, means: 'a bound of the node is reached' },
  SN_ERR_QUEUE_FULL: { status: 429, retryable: true, means: 'the queue has no room, and drops nothing' },
  SN_ERR_HEADERS: { status: 431, retryable: false, means: 'the header of the request is over its bound' },
  SN_ERR_INTERNAL: { status: 500, retryable: true, means: 'a fault of the node; its log has the details' },
  SN_ERR_CLOSING: { status: 503, retryable: true, means: 'the node is shutting down' },
  SN_ERR_STORAGE: { status: 507, retryable: true, means: 'the disk cannot be written now, so nothing is acknowledged' },
  SN_ERR_CONFIG: { status: 500, retryable: false, means: 'the configuration is not valid' },
  SN_ERR_DATA_DIR: { status: 500, retryable: false, means: 'the data directory cannot be used' },
  SN_ERR_LISTEN: { status: 500, retryable: true, means: 'a listener cannot be opened' },
} as const satisfies Record<string, { status: number; retryable: boolean; means: string }>;

export type ErrorCode = keyof typeof ERROR_TABLE;

/** The one error class. The message names what was concerned, what was expected and what came. */
export class SuperNodeError extends Error {
  override readonly name = 'SuperNodeError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** `<what>: expected <expected>, got <got>`: the one shape of a complaint about a value. */
export function mismatch(code: ErrorCode, what: string, expected: string, got: unknown): SuperNodeError {
  return new SuperNodeError(code, `${what}: expected ${expected}, got ${describe(got)}`);
}

const SHOWN_CHARS_MAX = 60;

/** A hostile value, made safe and short enough for a message or a log line. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'bigint' || typeof value === 'function' || typeof value === 'symbol') return typeof value;
  const text = JSON.stringify(value);
  return text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX)}… (${text.length} characters)` : text;
}

/** Any thrown thing as a coded error; what has no code of ours is `SN_ERR_INTERNAL`. */
export function asSuperNodeError(thrown: unknown): SuperNodeError {
  if (thrown instanceof SuperNodeError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new SuperNodeError('SN_ERR_INTERNAL', message, { cause: thrown });
}
