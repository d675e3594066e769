/** No half of a surrogate pair: those have no UTF-8 [MQTT-1.5.3-1]. To a pattern with `u` a pair is one character. */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}
