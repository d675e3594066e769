import { Store } from 'mqtt';

type Packet = Parameters<Store['put']>[0];
type Done = Parameters<Store['put']>[1];

/** What mqtt.js keeps to send again. It sends it as it was stored, without the DUP flag that a second sending must
 *  carry [MQTT-3.3.1-1]; the first sending does not come from here. */
export class DupStore extends Store {
  override put(packet: Packet, done: Done): this {
    return super.put(packet.cmd === 'publish' ? { ...packet, dup: true } : packet, done);
  }
}
