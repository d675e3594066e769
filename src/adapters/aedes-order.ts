import type { Channel } from '../transport/channel.js';

/** Publishes of one connection on their way to the broker. */
interface Line {
  /** QoS of those that were let in and have not reached the broker yet, and how many they are. */
  qos: number;
  under: number;
  readonly waiting: { readonly qos: number; readonly go: () => void }[];
  isMoving: boolean;
}

/** Keeps the order of one client's publishes into the broker, whatever their QoS. Aedes takes a turn more for QoS 1 than
 *  for QoS 0, and some promises for QoS 2: a later retained message would be overwritten by an earlier one. Those of one
 *  QoS keep their order by themselves, so only a change of QoS waits. */
export class PublishOrder {
  readonly #lines = new WeakMap<Channel, Line>();

  /** @param go Lets it in: at once, or when those before it have reached the broker */
  enter(channel: Channel, qos: number, go: () => void): void {
    const line = this.#lines.get(channel) ?? { qos, under: 0, waiting: [], isMoving: false };
    this.#lines.set(channel, line);
    line.waiting.push({ qos, go });
    this.#move(line);
  }

  /** One that was let in has reached the broker, or will not, for it is a repetition. */
  reached(channel: Channel): void {
    const line = this.#lines.get(channel);
    if (!line || line.under === 0) return;
    line.under -= 1;
    this.#move(line);
  }

  #move(line: Line): void {
    // Some reach the broker within `go`.
    if (line.isMoving) return;
    line.isMoving = true;
    let moved = 0;
    for (let next = line.waiting[0]; next && (line.under === 0 || line.qos === next.qos); next = line.waiting[moved]) {
      moved += 1;
      line.qos = next.qos;
      line.under += 1;
      next.go();
    }
    line.waiting.splice(0, moved);
    line.isMoving = false;
  }
}
