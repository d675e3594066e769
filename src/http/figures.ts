/** What is counted of HTTP. */
export class Figures {
  /** By `METHOD route status`, the route as its pattern: `POST /w/ch/:task 200`. */
  readonly requests = new Map<string, number>();
  /** Of bodies and WebSocket messages; what frames them is not counted. */
  bytesReceived = 0;
  bytesSent = 0;

  counted(method: string, route: string, status: number): void {
    const key = `${method} ${route} ${status}`;
    this.requests.set(key, (this.requests.get(key) ?? 0) + 1);
  }
}
