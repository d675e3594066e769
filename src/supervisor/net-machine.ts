import type { WorkerReport } from '../core/topics.js';

/** A task of net clients: nothing is started or ended here, only its clients' coming and going is told.
 *  `channels` counts the connections that registered for the task, also while it is stopped. */
export interface NetState {
  readonly name: 'pending' | 'ready' | 'sleeping' | 'lost' | 'stopped';
  readonly channels: number;
}

export type NetEvent =
  | { readonly type: 'start' | 'stop' }
  /** One more connection registered, by its will or its birth. */
  | { readonly type: 'channelUp' }
  /** One of them is gone: with a DISCONNECT, without one, or judged silent. */
  | { readonly type: 'channelDown'; readonly how: 'closed' | 'disconnect' | 'silent' }
  /** A client's own word; `others` counts the channels beside its own. */
  | { readonly type: 'report'; readonly word: WorkerReport; readonly others: number }
  /** An entry was put, by whomever. */
  | { readonly type: 'put' };

export const NEW_NET: NetState = { name: 'pending', channels: 0 };

/** The table of a net task. A stopped task stays so whatever its clients do, until `start`. */
export function stepNet(net: NetState, event: NetEvent): NetState {
  switch (event.type) {
    case 'start':
      return net.name === 'stopped' ? { ...net, name: net.channels > 0 ? 'ready' : 'pending' } : net;
    case 'stop':
      return net.name === 'stopped' ? net : { ...net, name: 'stopped' };
    case 'channelUp':
      return moved({ ...net, channels: net.channels + 1 }, 'ready');
    case 'channelDown':
      return channelDown({ ...net, channels: Math.max(0, net.channels - 1) }, event.how);
    case 'report':
      // One of several feeds that goes away does not speak for the others.
      return event.word !== 'ready' && event.others > 0 ? net : moved(net, event.word);
    case 'put':
      // Clients that connect for one put each would flap; the first put shows that somebody is there, and that stays.
      return net.name === 'pending' ? moved(net, 'ready') : net;
  }
}

function channelDown(net: NetState, how: 'closed' | 'disconnect' | 'silent'): NetState {
  if (net.channels > 0) return net;
  return moved(net, how === 'disconnect' ? 'sleeping' : 'lost');
}

function moved(net: NetState, name: NetState['name']): NetState {
  return net.name === 'stopped' || net.name === name ? net : { ...net, name };
}
