/** Whether a value of somebody else's making has all these methods. */
export function hasMethods(value: unknown, ...names: readonly string[]): value is object {
  return (
    typeof value === 'object' && value !== null && names.every((name) => typeof Reflect.get(value, name) === 'function')
  );
}

/** Small packets at once: with Nagle's algorithm (RFC 896) and a delayed acknowledgement (RFC 1122 §4.2.3.2) each answer
 *  of a client would wait 40 ms. What is no TCP socket is left alone. */
export function withoutDelay(stream: unknown): void {
  if (isTcp(stream)) stream.setNoDelay(true);
}

function isTcp(stream: unknown): stream is { setNoDelay(on: boolean): void } {
  return hasMethods(stream, 'setNoDelay');
}
