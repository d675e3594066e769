import { readFileSync } from 'node:fs';
import { describe } from '../core/errors.js';

export interface UserIds {
  readonly uid: number;
  readonly gid: number;
}

/** `uid:gid` as numbers, or a name of /etc/passwd with its primary group [passwd(5)].
 *  @throws Error when there is no such user */
export function userIds(user: string): UserIds {
  const numbers = /^(\d+):(\d+)$/.exec(user);
  if (numbers) return { uid: Number(numbers[1]), gid: Number(numbers[2]) };
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name, , uid, gid] = line.split(':');
    if (name === user && uid && gid) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error(`user: expected "uid:gid" or a name of /etc/passwd, got ${describe(user)}`);
}
