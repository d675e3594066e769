import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

/** What the kernel says about a process [proc(5)]. */

const TICK_MS = 1000 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
const SETTLE = { everyMs: 50, quietReadings: 3, readingsMax: 100 };

/** CPU of all threads so far, user and system. Milliseconds, in steps of one clock tick (10 ms). */
export function cpuMs(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The program's name may hold spaces and parentheses, so fields count from the last `)`.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** The same, once the process has worked off what it still had to do. */
export async function settledCpuMs(pid) {
  let last = cpuMs(pid);
  let quiet = 0;
  for (let reading = 0; reading < SETTLE.readingsMax && quiet < SETTLE.quietReadings; reading++) {
    await pause(SETTLE.everyMs);
    const now = cpuMs(pid);
    quiet = now === last ? quiet + 1 : 0;
    last = now;
  }
  return last;
}

/** @param {'VmRSS' | 'VmHWM' | 'RssAnon' | 'RssFile'} field Now, or the most it ever was; of now: its own memory, or
 *    what it shares with files, which the kernel takes back when it needs it. */
export function memoryKb(pid, field = 'VmRSS') {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]);
}
