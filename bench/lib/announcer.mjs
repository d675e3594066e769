// A small program in Node whose first act is to say so. node announcer.mjs FIFO
import { writeFileSync } from 'node:fs';

writeFileSync(process.argv[2], `${process.pid}\n`);
setInterval(() => undefined, 60_000);
