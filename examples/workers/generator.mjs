// A streaming text generator that needs no download: it stands where an LLM backend would. A Markov chain over the
// text below says one word after the other, as parts of the answer to a call. The same seed and prompt give the same
// text. A call's payload is the prompt, or JSON: {"prompt": "The node", "max_tokens": 60, "seed": 1, "delay_ms": 40}.
import { setTimeout as pause } from 'node:timers/promises';
import { connectWorker } from 'super-node/worker';

const PARAMS = {
  max_tokens: { min: 1, max: 2_000, default: 60 },
  seed: { min: 0, max: 2 ** 32 - 1, default: 1 },
  delay_ms: { min: 0, max: 10_000, default: 40 },
};
/** How much the text holds together: 1 hardly leaves the original, 0 rambles. */
const COHERENCE = 0.75;

const TEXT = `
At the edge of the town stands a small house with a green door. In the house there is a machine that never sleeps.
The machine listens to the river, and it listens to the wind. Each morning the river tells how high it stands.
Each evening the wind tells how far it came. The machine writes it all down, one line after the other.
A line is a small thing, but many lines are a long story. The old keeper reads the story while the kettle sings.
She says that the river is honest and that the wind is not. The wind likes to boast, so she asks it twice.
When the river rises, a lamp on the roof begins to blink. When the lamp blinks, the boats come home.
The boats come home slowly, because the water is in a hurry and they are not. The keeper counts them at the bridge.
If one boat is missing, she sends the machine to look for it. The machine cannot walk, but it can ask.
It asks the buoys, and the buoys ask the gulls. The gulls know everything and tell almost nothing.
A buoy is a patient listener. It sits in the water and waits for a question, and it answers when it has slept enough.
Some answers come late, and the machine keeps a chair for each of them. No answer is thrown away before it is read.
One night the storm took the line to the town. The machine did not mind, for it had learned to wait.
It kept the words of the river in a row, the oldest first. When the line came back, it told them one by one.
The town listened and said thank you for each, and only then did the machine forget what it had told.
The keeper called that good manners. A word is yours until somebody has said that it is theirs.
In the cellar of the house live the workers. There is one who looks through a glass eye at the harbour.
There is one who weighs the rain, and one who only counts to ten. All of them have a heart that knocks at the wall.
The keeper listens to the wall while she knits. When a heart is silent for too long, she goes down the stairs.
She shakes the worker by the shoulder, gently at first. If that does not help, she opens the window and starts anew.
A worker that was started anew is in good spirits and remembers nothing. The keeper remembers for it.
She writes in the book why it fell, and when, and what its last words were. The last words are mostly about memory.
The one who counts to ten fell often. It reached nine, it was glad, and it forgot what comes after.
So the keeper let it rest a little longer each time. A rest is no punishment, it is a kind of kindness to the stairs.
In summer the children come to the green door and ask the machine for a story. The machine has only the story of the river.
It tells the story word by word, at the pace of the child who listens. A slow child gets a slow story.
When a child runs home for supper, the machine stops in the middle of a word. It is not offended, for supper is important.
When two children ask at the same time, two voices answer. The second voice lives behind the stove and is a little shy.
The keeper says that a third voice would be too much for a small house. The machine says that the house could be larger.
In winter the river is quiet under the ice. The wind tells the same tale again and again, and the lamp is dark.
Then the machine listens to itself. It hears a small hum, and it writes down that the hum is well.
The keeper reads the line and smiles. She puts a new log into the stove and asks the wall whether everybody is awake.
The wall knocks once for each of the workers. It knocks for the glass eye, for the rain, and for the one who counts.
Somebody knocks eleven times. The keeper counts on her fingers, and goes to bed content.
`;

const words = TEXT.trim().split(/\s+/);
const openings = words.filter((_word, at) => at === 0 || words[at - 1].endsWith('.'));
const followers = followersOf(words);

const worker = await connectWorker({ onCall: generate });
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, end);
console.log(`voice ${worker.instance} is ready`);

async function end() {
  await worker.close();
  process.exit(0);
}

/** A token is a word with the blank before it. A cancelled call ends in the pause. */
async function* generate(payload, { signal }) {
  const { prompt, max_tokens, seed, delay_ms } = paramsOf(payload.toString());
  const random = randomOf(seed, prompt);
  const said = prompt.split(/\s+/).filter(Boolean);
  for (let token = 0; token < max_tokens; token++) {
    await pause(delay_ms, undefined, { signal });
    const next = nextAfter(said, random);
    yield said.length === 0 ? next : ` ${next}`;
    said.push(next);
  }
}

/** Mostly by the last two words, now and then by the last one alone; an unknown word opens a sentence. */
function nextAfter(said, random) {
  const last = said.at(-1);
  const byTwo = random() < COHERENCE ? followers.get(`${said.at(-2)} ${last}`) : undefined;
  const choices = byTwo ?? followers.get(last) ?? openings;
  return choices[Math.floor(random() * choices.length)];
}

function followersOf(words) {
  const followers = new Map();
  const add = (key, next) => followers.set(key, [...(followers.get(key) ?? []), next]);
  for (let at = 1; at < words.length; at++) {
    add(words[at - 1], words[at]);
    if (at > 1) add(`${words[at - 2]} ${words[at - 1]}`, words[at]);
  }
  return followers;
}

/** Numbers from 0 to below 1, the same ones for the same seed and prompt: a linear congruential generator. */
function randomOf(seed, prompt) {
  let state = seed;
  const step = (salt) => {
    state = (Math.imul(state ^ salt, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  for (const byte of Buffer.from(prompt)) step(byte);
  return () => step(0);
}

function paramsOf(text) {
  const given = text.trimStart().startsWith('{') ? JSON.parse(text) : { prompt: text };
  const { prompt = '', ...rest } = given;
  if (typeof prompt !== 'string') throw new Error(`prompt: expected text, got ${JSON.stringify(prompt)}`);
  const params = { prompt };
  for (const [name, { min, max, default: byDefault }] of Object.entries(PARAMS)) {
    const { [name]: value = byDefault } = rest;
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new Error(`${name}: expected an integer ${min}–${max}, got ${JSON.stringify(value)}`);
    }
    params[name] = value;
  }
  return params;
}
