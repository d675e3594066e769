/** What is counted of HTTP, for the metrics. */
export interface HttpFigures {
  /** Requests that were answered, by `METHOD route status` with one space between: `GET /m/fetch/:task 200`. The route
   *  is the pattern, not the path, so that there are few. */
  readonly requests: ReadonlyMap<string, number>;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** Of server-sent events, connected now. */
  readonly listeners: number;
  /** JSON WebSockets that are open. */
  readonly sockets: number;
}
