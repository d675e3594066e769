/** Offsets into a packet. Callers look at the bounds first; beyond the Buffer these read 0. */

export function byteAt(buffer: Buffer, at: number): number {
  return buffer[at] ?? 0;
}

/** Big-endian, as every two-byte number of MQTT [§1.5.2]. */
export function uint16At(buffer: Buffer, at: number): number {
  return (byteAt(buffer, at) << 8) | byteAt(buffer, at + 1);
}

/** What `fieldEnd` says of a field that reaches beyond its packet. */
export const CUT = -1;

/** End of the field at `at` that starts with its length in two bytes, or `CUT`. */
export function fieldEnd(buffer: Buffer, at: number, packetEnd: number): number {
  if (at + 2 > packetEnd) return CUT;
  const end = at + 2 + uint16At(buffer, at);
  return end > packetEnd ? CUT : end;
}
