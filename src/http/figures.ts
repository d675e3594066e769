/** What is counted of HTTP. */
export class Figures {
  /** By `METHOD route status`, the route as its pattern: `POST /w/ch/:task 200`. */
  readonly requests = new Map<string, number>();
  /** Of bodies and WebSocket messages; what frames them is not counted. */
  bytesReceived = 0;
  bytesSent = 0;
  /** Open WebSockets that speak JSON. */
  sockets = 0;

  /** Counts one answer. */
  count(method: string, route: string, status: number): void {
    this.route(method, route)(status);
  }

  /** Counts the answers of one route. Keys are made once: this is on the way of every request.
   *  @returns takes the status of each */
  route(method: string, route: string): (status: number) => void {
    const keys: string[] = [];
    return (status) => {
      keys[status] ??= `${method} ${route} ${status}`;
      const key = keys[status];
      this.requests.set(key, (this.requests.get(key) ?? 0) + 1);
    };
  }
}
