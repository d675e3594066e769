/** What went over all connections since the node was started, as MQTT: without the frames of WebSockets, with those of
 *  connections that are gone. Plain numbers, for they are counted for each packet. */
export interface Traffic {
  bytesReceived: number;
  bytesSent: number;
  /** Control packets, whatever they are. */
  messagesReceived: number;
  messagesSent: number;
  /** Of those, PUBLISH packets. */
  publishesReceived: number;
  publishesSent: number;
  connectionsOpened: number;
  /** Most at one time. */
  connectionsPeak: number;
}

export function newTraffic(): Traffic {
  return {
    bytesReceived: 0,
    bytesSent: 0,
    messagesReceived: 0,
    messagesSent: 0,
    publishesReceived: 0,
    publishesSent: 0,
    connectionsOpened: 0,
    connectionsPeak: 0,
  };
}
