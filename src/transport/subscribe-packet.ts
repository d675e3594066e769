import { describe } from '../core/errors.js';
import { byteAt, CUT, fieldEnd, uint16At } from './bytes.js';
import { type Qos, qosOf } from './packet-type.js';
import { checkText } from './text-checks.js';
import { misplacedWildcard } from './topic-filter.js';
import { type Violation, violation } from './violation.js';

/** ```
 *  SUBSCRIBE    |packet id|len|filter|QoS|len|filter|QoS|…
 *  UNSUBSCRIBE  |packet id|len|filter|len|filter|…
 *  ``` */

export type Subscription = { readonly filter: string; readonly qos: Qos };
export type SubscribeInfo = { readonly id: number; readonly filters: readonly Subscription[] };
export type UnsubscribeInfo = { readonly id: number; readonly filters: readonly string[] };

export function checkSubscribe(buffer: Buffer, body: number, end: number): Violation | undefined {
  const fault = checkListStart(buffer, body, end, 'SUBSCRIBE', 'MQTT-3.8.3-3');
  if (fault) return fault;
  for (let at = body + 2; at < end; ) {
    const filterEnd = fieldEnd(buffer, at, end);
    const filterFault = checkFilter(buffer, at + 2, filterEnd, 'SUBSCRIBE', 'MQTT-3.8.3-1');
    if (filterFault) return filterFault;
    if (filterEnd === end) return violation('MQTT-3.8.3-4', 'SUBSCRIBE QoS', 'one byte', 'the end of the packet');
    const qos = byteAt(buffer, filterEnd);
    if (qos > 2) return violation('MQTT-3.8.3-4', 'SUBSCRIBE QoS', '0, 1 or 2', String(qos));
    at = filterEnd + 1;
  }
  return undefined;
}

export function checkUnsubscribe(buffer: Buffer, body: number, end: number): Violation | undefined {
  const fault = checkListStart(buffer, body, end, 'UNSUBSCRIBE', 'MQTT-3.10.3-2');
  if (fault) return fault;
  for (let at = body + 2; at < end; ) {
    const filterEnd = fieldEnd(buffer, at, end);
    const filterFault = checkFilter(buffer, at + 2, filterEnd, 'UNSUBSCRIBE', 'MQTT-3.10.3-1');
    if (filterFault) return filterFault;
    at = filterEnd;
  }
  return undefined;
}

/** Only for a packet that passed its check. */
export function readSubscribe(buffer: Buffer, body: number, end: number): SubscribeInfo {
  const filters: Subscription[] = [];
  for (let at = body + 2; at < end; ) {
    const filterEnd = fieldEnd(buffer, at, end);
    filters.push({ filter: buffer.toString('utf8', at + 2, filterEnd), qos: qosOf(byteAt(buffer, filterEnd)) });
    at = filterEnd + 1;
  }
  return { id: uint16At(buffer, body), filters };
}

/** Only for a packet that passed its check. */
export function readUnsubscribe(buffer: Buffer, body: number, end: number): UnsubscribeInfo {
  const filters: string[] = [];
  for (let at = body + 2; at < end; ) {
    const filterEnd = fieldEnd(buffer, at, end);
    filters.push(buffer.toString('utf8', at + 2, filterEnd));
    at = filterEnd;
  }
  return { id: uint16At(buffer, body), filters };
}

function checkListStart(
  buffer: Buffer,
  body: number,
  end: number,
  packet: string,
  emptyClause: string,
): Violation | undefined {
  if (body + 2 > end) return violation('MQTT-2.3.1-1', `${packet} packet id`, 'two bytes', 'the end of the packet');
  if (uint16At(buffer, body) === 0) return violation('MQTT-2.3.1-1', `${packet} packet id`, '1 to 65535', '0');
  if (body + 2 === end) return violation(emptyClause, `${packet} filters`, 'at least one', 'none');
  return undefined;
}

function checkFilter(
  buffer: Buffer,
  from: number,
  to: number,
  packet: string,
  cutClause: string,
): Violation | undefined {
  const what = `${packet} filter`;
  if (to === CUT) return violation(cutClause, what, 'a whole field', 'the end of the packet');
  if (from === to) return violation('MQTT-4.7.3-1', what, 'at least one character', 'none');
  const fault = checkText(buffer, from, to, what);
  if (fault) return fault;
  const filter = buffer.toString('utf8', from, to);
  switch (misplacedWildcard(filter)) {
    case '#':
      return violation('MQTT-4.7.1-2', what, '# as the whole last level', describe(filter));
    case '+':
      return violation('MQTT-4.7.1-3', what, '+ as a whole level', describe(filter));
    default:
      return undefined;
  }
}
