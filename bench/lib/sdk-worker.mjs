// A worker that only lives, by the SDK.
import { connectWorker } from '../../dist/worker/index.js';

await connectWorker();
