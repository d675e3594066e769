/** Why a packet is against MQTT 3.1.1; its sender is disconnected [MQTT-4.8.0-1].
 *  `clause` is the tag of the specification, such as `MQTT-3.3.1-4`, or the section where it has no tag: `§3.4.1`. */
export type Violation = { readonly clause: string; readonly message: string };

/** `<what>: expected <expected>, got <got>`. */
export function violation(clause: string, what: string, expected: string, got: string): Violation {
  return { clause, message: `${what}: expected ${expected}, got ${got}` };
}
