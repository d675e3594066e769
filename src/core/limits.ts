/** The bounds and defaults of the node that somebody may ask about, in one place; the unit ends the name. Options of
 *  the config override those that `schema.ts` names; the rest are fixed. Lengths of a format stand with its code. */
export const LIMITS = {
  /** Largest MQTT packet, header included. A larger one closes its connection. */
  packetBytes: 1_048_576,
  /** Largest packet before CONNECT is accepted: strangers get less. */
  preConnectPacketBytes: 65_536,
  /** Open connections of MQTT, all listeners together, and of each HTTP listener. One more is closed at once. */
  connectionsMax: 10_000,
  /** Filters one client may hold; one more gets SUBACK 128. */
  subscriptionsPerClientMax: 1_000,
  /** Levels of a topic or filter; Aedes' matcher throws above 100. */
  topicLevelsMax: 100,
  /** Requests of one client that wait for their answer; one more gets SN_ERR_LIMIT. */
  requestsPerClientMax: 64,
  /** QoS 2 packet ids one client may leave without PUBREL; one more closes its connection. */
  qos2InFlightMax: 1_000,
  /** Stored sessions; of those whose client is away, the one that is away for longest is forgotten. */
  sessionsMax: 10_000,
  /** How long a client may stay away before its stored session is forgotten. Seconds: a week. */
  sessionExpiryS: 604_800,
  sessionExpirySMax: 315_360_000,
  /** Tasks of the node, of the config, commanded and registered by themselves. */
  tasksMax: 1_000,
  /** Bytes written to a peer that does not read before its publishers wait. */
  writeSoftBytes: 262_144,
  /** Bytes waiting for a peer that does not read before we stop reading from it. */
  writeHardBytes: 1_048_576,
  /** Entries of one task's queue. */
  queueLength: 1_000,
  /** Entries that one who takes by subscription has in hand. */
  takePrefetch: 32,
  takePrefetchMax: 1_000,
  /** How long a stored session that lost its connection keeps what it took and did not acknowledge. */
  takeResumeMs: 30_000,
  takeResumeMsMax: 3_600_000,
  /** Groups of takers of one task. */
  groupsMax: 16,
  /** Leases with a time of their own, of the node. */
  leasesMax: 10_000,
  leaseMsMax: 86_400_000,
  queueTtlMsMax: 31_536_000_000,
  queueAttemptsMax: 1_000_000,
  queueLengthMax: 10_000_000,
  /** Payload bytes of one task's queue. */
  queueBytes: 16_777_216,
  queueBytesMax: 17_179_869_184,
  /** Entries that queues on disk keep in memory as well, all together, so that most are never read back. */
  queueCacheBytes: 16_777_216,
  /** Entries that wait for their flush, all together; from there on puts wait as for room. */
  unflushedBytesMax: 67_108_864,
  /** What nobody waits for is written to the disk with the next put, or after so long: that an entry was settled by a
   *  PUBACK, that it was handed out. */
  diskLazyMs: 100,
  /** What could not be written to the disk is tried again after so long. */
  diskRetryMs: 1_000,
  /** The same for a disk that could not be opened. */
  diskOpenRetryMs: 2_000,
  /** Payload bytes of all queues on disk together. */
  queuesDiskBytesMax: 8_589_934_592,
  /** Entries of one fetch. */
  fetchEntriesMax: 10_000,
  /** Payload bytes of one fetch, when the caller names no `max_bytes`. */
  fetchBytes: 1_048_576,
  fetchBytesMax: 16_777_216,
  /** Lists and objects within each other, in the JSON of a request or of an answer by lines: very deep ones keep a
   *  parser busy for a long time. */
  jsonDepth: 128,
  /** Fetches that wait and subscriptions that take, of the node. */
  waitersMax: 50_000,
  /** Longest `wait_ms` of a fetch. */
  fetchWaitMsMax: 3_600_000,
  /** How often the clock of silences is looked at while somebody keeps others waiting, and at the most and least
   *  otherwise: it comes when the next silence would be too long. */
  tickMs: 50,
  idleTickMs: 500,
  leastTickMs: 10,
  /** A tick this late means the node itself was stopped: silences are forgiven by as much. */
  loopLagMs: 250,
  /** Silence over so many keepalives or heartbeats ends a connection [MQTT-3.1.2-24]. */
  keepaliveTolerance: 1.5,
  /** Keepalive of a worker that asks for none and has no `heartbeat_interval`. Seconds. */
  workerKeepaliveS: 60,
  /** A worker whose last channel closed may come back for so long before it counts as dead. */
  channelGraceMs: 5_000,
  readyTimeoutMs: 30_000,
  secondSigMs: 10_000,
  backoffInitialMs: 1_000,
  backoffFactor: 2,
  backoffMaxMs: 60_000,
  backoffJitter: 0.25,
  backoffResetMs: 60_000,
  /** A process that exits by itself before this, or could not be started, is followed by at least `shortRunPauseMs`,
   *  so that `initial_ms: 0` does not become a busy loop. */
  shortRunMs: 100,
  shortRunPauseMs: 100,
  /** After SIGKILL: how long the process may take to be gone before it is `unkillable`. */
  unkillableMs: 10_000,
  /** One line of a worker's output; the rest of a longer one is cut off and counted. */
  outputLineBytes: 1_048_576,
  /** What one worker may put into the log: so many lines and bytes at once, such as a dump of all stacks, and so many a
   *  second after that; more are dropped and counted. */
  outputLinesBurst: 2_000,
  outputLinesPerSecond: 200,
  outputBytesBurst: 4_194_304,
  outputBytesPerSecond: 1_048_576,
  /** Lines of one output handed on in one turn of the event loop, and after how long it ends before them; others have
   *  theirs between them. */
  outputLinesPerTurn: 500,
  outputTurnMs: 8,
  /** stderr lines kept to explain an exit. */
  lastStderrLines: 20,
  lastStderrLineChars: 500,
  /** After the exit, how long output that is still in the pipe is read. */
  outputDrainMs: 500,
  /** How often the rest of a process group is looked at once its leader ended. */
  groupPollMs: 20,
  /** What was commanded could not be written down: tried again after so long. */
  taskFileRetryMs: 5_000,
  /** How long a start waits for what a crash left to be gone. */
  leftoversMs: 5_000,
  /** Lines of the journal of children before it is written anew with the living ones only. */
  journalLinesMax: 10_000,
  /** `m/event` drop notices of one task. */
  dropEventMs: 1_000,
  /** How often CPU and memory of the workers are looked at. */
  usageMs: 2_000,
  /** Samples in a row over `memory_limit_kb` before a worker is ended: one may be a passing peak. */
  memorySamples: 2,
  /** Workers of one task. */
  instancesMax: 64,
  /** Restarts by policy of all workers together: so many at once, and so many a second after that. Further ones wait
   *  their turn. What is commanded does not count. */
  restartBurst: 100,
  restartsPerSecond: 10,
  /** Bytes that wait for a process that does not read its stdin; more are refused. */
  stdinBytes: 1_048_576,
  /** Lines of output that `m/stat` shows of the last run of a task with `exec_interval`. */
  runOutputLines: 20,
  /** Longest wait for the whole answer of a call, when the caller names none. */
  callTimeoutMs: 30_000,
  callTimeoutMsMax: 3_600_000,
  /** Calls under way, of all tasks. */
  callsMax: 10_000,
  /** Parts of an answer that wait for a caller who does not read; one that lets more wait loses the call. */
  callPartsBytes: 16_777_216,
  /** The same, of all calls together. */
  callsPartsBytes: 67_108_864,
  /** A channel that closed under a call may be the first sign of a dead process; so long its cause is waited for. */
  callCauseMs: 250,
  /** Lines of output kept of each task for `logs`, and their bytes. */
  logTailLines: 500,
  logTailBytes: 65_536,
  /** A log file before it is rotated, and how many rotated ones are kept of each task. */
  logFileBytes: 4_194_304,
  logFiles: 4,
  /** Log files open at a time; the least recently written is closed. */
  logFilesOpenMax: 128,
  /** Events of one type that clients can cause, told in one second; the rest are only counted. */
  clientEventsPerSecond: 20,
  /** How long a planned stop waits for workers beyond their own `second_sig_duration`. */
  shutdownGraceMs: 5_000,
  /** Acknowledgements of one client that may wait for a commit or the broker before we stop reading from it. */
  acksWaitingMax: 65_535,
  /** Puts of one client that wait for room in their queues, and their payload bytes, before we stop reading from it. */
  heldPutsMax: 64,
  heldPutBytesMax: 1_048_576,
  /** Last wills that wait for room in their queues; one more is dropped and told. */
  heldWillsMax: 256,
  /** Topics whose highest granted QoS a client's subscriptions remember. */
  topicCacheMax: 1_000,
  /** A client that is refused may take so long to read why. */
  refusalLingerMs: 1_000,
  /** A client that made others wait for so long, on balance, gets QoS 0 messages only when it has room, and is closed
   *  when more than `writeHardBytes` wait for it. */
  slowAfterMs: 1_000,
  /** Live copies (`m/data`, `m/log`) on their way through the broker; more are dropped and counted. */
  liveBytesMax: 16_777_216,
  /** From so many on, workers whose lines are entries are not read from; they go on at half of it. */
  liveSoftBytes: 1_048_576,
  /** What such a copy costs beside its payload, about. */
  liveOverheadBytes: 512,
  /** Messages and their bytes that the broker keeps for one stored session; more are dropped and counted. */
  offlineMessagesMax: 1_000,
  offlineBytesMax: 16_777_216,
  /** Payload bytes of all queues together. */
  queuesBytesMax: 268_435_456,
  /** Share of the tasks that may come into being by a mere put, birth or will. */
  autoTasksShare: 0.8,
  /** A reply, so that it fits a packet with its topic: four length bytes say 268 435 455 at most. */
  replyBytesMax: 268_000_000,
  /** Text of a `reply_to`. */
  replyToChars: 1_024,
  /** Lines of one put over HTTP, uncompressed; each is held to the bound of a packet. */
  httpLinesBytes: 67_108_864,
  /** Their number: 60 kB can be thirty million of them, compressed. */
  httpLinesMax: 1_000_000,
  /** Bodies of HTTP requests on their way in, all together; the next one gets SN_ERR_LIMIT. */
  httpBodiesBytes: 67_108_864,
  /** What is read of a refused body, so that its sender comes to read why. */
  httpDiscardBytes: 16_777_216,
  /** Answers over HTTP that their readers have not taken yet, all together; the next one gets SN_ERR_LIMIT. */
  httpAnswersBytes: 268_435_456,
  /** From so many on an answer counts for that. */
  httpAnswerBytes: 4_096,
  /** Who takes nothing of an answer for so long is closed. */
  httpWriteMs: 60_000,
  /** How long the header of an HTTP request may take to arrive, and all of it. */
  httpHeaderMs: 10_000,
  httpRequestMs: 60_000,
  /** How long an HTTP connection may stay open between two requests. */
  httpIdleMs: 72_000,
  /** How often such times are looked at. */
  httpCheckMs: 1_000,
  /** Requests of one HTTP connection that wait behind others of it (pipelining); one more gets SN_ERR_LIMIT. Of those that
   *  are read at once none is answered before the last has begun. */
  httpPipelinedMax: 1_000,
  /** Header of an HTTP request. */
  httpHeaderBytes: 16_384,
  /** Longest path segment of one, such as a task id. */
  httpSegmentChars: 256,
  /** After the workers are gone, how long answers on their way may take yet. */
  httpDrainMs: 1_000,
  /** How often it is looked whether they are out. */
  httpDrainPollMs: 10,
  /** Longest topic, percent-encoded, that stands in the header of an answer: clients take no header of any size. */
  httpTopicHeaderBytes: 2_048,
  /** Tasks that have metrics of their own; the others are told together. */
  metricTasksMax: 1_000,
  /** How often the broker tells its figures below `$SYS/broker`. Seconds. */
  sysIntervalS: 10,
  sysIntervalSMax: 65_535,
  /** Largest delay one `setTimeout` can hold. */
  timerMsMax: 2_147_483_647,
  /** Listeners of server-sent events. One more gets SN_ERR_LIMIT. */
  sseListenersMax: 2_000,
  /** How soon a listener that lost its connection is to come back, as it is told. */
  sseRetryMs: 2_000,
  /** How often a comment says that the stream of events is alive. */
  sseHeartbeatMs: 15_000,
  /** Bytes written to a listener that does not read; what comes then waits in the ring of its topic, as long as that
   *  keeps it. One message may be larger. */
  sseWaitingBytes: 131_072,
  /** A listener that has taken nothing of what waits for it for so long is closed. */
  sseStalledMs: 60_000,
  /** How long a listener may take, at the node's end, for what waits for it. */
  sseEndMs: 1_000,
  /** The newest messages of a topic, kept for listeners that come back or are slow; older ones go. */
  feedMessages: 1_000,
  feedBytes: 1_048_576,
  /** What such a message costs beside its bytes, about; it counts. */
  feedOverheadBytes: 256,
  /** The same, of all topics; beyond it the topic that holds most loses its older half. */
  feedsBytesMax: 33_554_432,
  /** Messages written to a listener in one piece, unless one is larger. */
  feedPieceBytes: 16_384,
  /** From one waking of a topic's listeners to the next so much for each of them: of a thousand 20 ms, of a few none. */
  feedPaceUs: 20,
  /** How long the messages of a topic are kept after its last listener has gone, and of how many such topics; of more,
   *  those go that nobody has listened to for longest. */
  feedKeepMs: 60_000,
  feedsIdleMax: 256,
} as const;
