import { DEFAULT_GROUP, Topics } from '../core/topics.js';
import { COMMAND_MESSAGES, COMMAND_REPLIES } from './asyncapi-messages.js';
import type { JsonObject } from './schema-components.js';

/** The channels of the AsyncAPI document and what is done on them: the topics of MQTT as `Topics` makes them, and the
 *  paths of the JSON WebSockets. */

/** Something that the node does on a channel. */
export interface Operation {
  /** Unique in the document. */
  readonly name: string;
  /** Seen from the node. */
  readonly action: 'send' | 'receive';
  readonly summary: string;
  readonly messages: readonly string[];
  /** Where the answer goes, and what it may be. */
  readonly reply?: { readonly channel: string; readonly messages: readonly string[] };
  /** Of MQTT: at which QoS, and whether the broker keeps it. Other levels are accepted where the node receives. */
  readonly qos?: 0 | 1;
  readonly retain?: boolean;
}

export interface Channel {
  readonly name: string;
  readonly address: string;
  readonly description?: string;
  /** What else comes there than its operations say: answers. */
  readonly messages?: readonly string[];
  /** Of a WebSocket. */
  readonly query?: JsonObject;
  readonly operations: readonly Operation[];
}

const TASK = '{task_id}';
const CALL = '{call}';
const GROUP = '{group}';

const ANY_REPLY = [...COMMAND_REPLIES, 'fetchReply', 'ackReply', 'nodeStatReply', 'taskStatReply', 'errorReply'];

interface RequestChannel {
  readonly name: string;
  readonly summary: string;
  readonly topic: (topics: Topics) => string;
  readonly messages: readonly string[];
  readonly replies: readonly string[];
}

/** What may be asked, over MQTT and over WebSockets alike. */
const REQUESTS: readonly RequestChannel[] = [
  {
    name: 'command',
    summary: 'A command. A call is answered by one message for each part.',
    topic: (topics) => topics.cmd,
    messages: COMMAND_MESSAGES,
    replies: [...COMMAND_REPLIES, 'errorReply'],
  },
  {
    name: 'taskCommand',
    summary: 'Raw bytes to every channel of the task that takes commands.',
    topic: (topics) => topics.taskCmd(TASK),
    messages: ['rawCommand'],
    replies: ['sendReply', 'errorReply'],
  },
  {
    name: 'fetchAny',
    summary: 'Takes entries of all tasks, in order of arrival.',
    topic: (topics) => topics.fetch(),
    messages: ['fetchRequest'],
    replies: ['fetchReply', 'errorReply'],
  },
  {
    name: 'fetch',
    summary: 'Takes entries of a task.',
    topic: (topics) => topics.fetch(TASK),
    messages: ['fetchRequest'],
    replies: ['fetchReply', 'errorReply'],
  },
  {
    name: 'acknowledge',
    summary: 'Ends or extends a lease.',
    topic: (topics) => topics.ack,
    messages: ['ackRequest'],
    replies: ['ackReply', 'errorReply'],
  },
  {
    name: 'nodeStatus',
    summary: 'Asks for the status of the node and its tasks.',
    topic: (topics) => topics.stat(),
    messages: ['statRequest'],
    replies: ['nodeStatReply', 'errorReply'],
  },
  {
    name: 'taskStatus',
    summary: 'Asks for the status of a task.',
    topic: (topics) => topics.stat(TASK),
    messages: ['statRequest'],
    replies: ['taskStatReply', 'errorReply'],
  },
];

/** A topic that the node alone writes. */
function told(name: string, address: string, summary: string, message: string, way: Pick<Operation, 'qos' | 'retain'>) {
  const operation: Operation = { name: `tell${name}`, action: 'send', summary, messages: [message], ...way };
  return { name: name.charAt(0).toLowerCase() + name.slice(1), address, operations: [operation] };
}

const RETAINED = { qos: 1, retain: true } as const;
const LIVE = { qos: 0, retain: false } as const;
const ONCE = { qos: 1, retain: false } as const;

/** The topics of MQTT. */
export function mqttChannels(prefix: string): Channel[] {
  const topics = new Topics(prefix);
  return [
    ...REQUESTS.map(({ name, summary, topic, messages, replies }) => ({
      name,
      address: topic(topics),
      operations: [
        {
          name,
          action: 'receive' as const,
          summary,
          messages,
          reply: { channel: 'reply', messages: replies },
          ...ONCE,
        },
      ],
    })),
    {
      name: 'reply',
      address: topics.reply,
      description:
        'Every reply, to the asking connection alone. A request may name a topic below this one in `reply_to`. QoS: the highest granted one among the filters of the asking client that match, at most 1.',
      messages: ANY_REPLY,
      operations: [],
    },
    told('NodeState', topics.nodeState, 'Whether the node runs.', 'nodeState', RETAINED),
    told('TaskState', topics.state(TASK), 'The state of a task, at each change.', 'taskState', RETAINED),
    told('Info', topics.info, 'What the node is.', 'info', RETAINED),
    told('Event', topics.event, 'What happens.', 'event', ONCE),
    told('Data', topics.data(TASK), 'A live copy of what is put, at the QoS of the put.', 'entry', ONCE),
    told('Usage', topics.usage(TASK), 'What a task takes, every 2 seconds.', 'usage', LIVE),
    told('Log', topics.log(TASK), 'The output of a task.', 'outputLine', LIVE),
    told(
      'Entry',
      topics.take(TASK, DEFAULT_GROUP),
      'Entries, each to one subscriber in turn; its PUBACK settles it.',
      'entry',
      ONCE,
    ),
    told('EntryOfGroup', topics.take(TASK, GROUP), 'The same for a group of takers.', 'entry', ONCE),
    ...workerChannels(topics),
  ];
}

function workerChannels(topics: Topics): Channel[] {
  const answers = [
    ['workerAnswer', 'part', 'A part of an answer that others follow.', 'answer'],
    ['workerAnswerEnd', 'end', 'The last part of an answer, or the only one.', 'answer'],
    ['workerAnswerError', 'error', 'The failure of a call.', 'failure'],
  ] as const;
  const received = (name: string, address: string, summary: string, message: string): Channel => ({
    name,
    address,
    operations: [{ name, action: 'receive', summary, messages: [message], ...ONCE }],
  });
  const sent = (name: string, address: string, summary: string, message: string): Channel => ({
    name,
    address,
    operations: [{ name, action: 'send', summary, messages: [message], ...ONCE }],
  });
  const call: Operation = {
    name: 'callWorker',
    action: 'send',
    summary: 'A call; the answer may come in parts before its end.',
    messages: ['rawCall'],
    reply: { channel: 'workerAnswerEnd', messages: ['answer'] },
    ...ONCE,
  };
  return [
    received(
      'put',
      topics.put(TASK),
      'Puts one entry. Its PUBACK means: in the queue, or dropped by its policy.',
      'entry',
    ),
    received(
      'workerState',
      topics.workerState(TASK),
      'What a worker says of itself; also its last will.',
      'workerReport',
    ),
    sent('workerCommand', topics.workerCmd(TASK), 'Raw bytes, no answer expected.', 'rawCommand'),
    { name: 'workerCall', address: topics.workerCall(TASK, CALL), operations: [call] },
    sent('workerCancel', topics.workerCancel(TASK, CALL), 'Nobody waits for the answer any more.', 'cancel'),
    ...answers.map(([name, part, summary, message]) =>
      received(name, topics.workerAnswer(TASK, CALL, part), summary, message),
    ),
  ];
}

/** The JSON WebSockets; paths know no prefix. */
export function socketChannels(): Channel[] {
  const topics = new Topics();
  const requests = REQUESTS.map(({ name, summary, topic, messages, replies }): Channel => {
    const channel = `${name}Socket`;
    return {
      name: channel,
      address: `/${topic(topics)}`,
      description: 'Each message is a request, each reply one message; many may be under way.',
      messages: replies,
      operations: [{ name: channel, action: 'receive', summary, messages, reply: { channel, messages: replies } }],
    };
  });
  return [...requests, workerSocket(topics)];
}

function workerSocket(topics: Topics): Channel {
  return {
    name: 'workerSocket',
    address: `/${topics.put(TASK)}`,
    description: 'A channel of a worker. Each message is one entry, save for a text that answers a call.',
    query: {
      type: 'object',
      properties: { acks: { type: 'boolean', default: false, description: 'Tell how many entries are in the queue.' } },
    },
    operations: [
      {
        name: 'putBySocket',
        action: 'receive',
        summary: 'Puts one entry, as text or binary message.',
        messages: ['entry'],
      },
      { name: 'answerBySocket', action: 'receive', summary: 'A part of an answer.', messages: ['socketAnswer'] },
      { name: 'commandBySocket', action: 'send', summary: 'Raw bytes, no answer expected.', messages: ['rawCommand'] },
      {
        name: 'callBySocket',
        action: 'send',
        summary: 'A call, or its end.',
        messages: ['socketCall', 'socketCancel'],
      },
      { name: 'tellTaken', action: 'send', summary: 'How many entries are in the queue.', messages: ['socketTaken'] },
    ],
  };
}
