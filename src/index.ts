export { type AttachOptions, attach } from './app/attach.js';
export type { NodeConfig, SuperNode } from './app/super-node.js';
export { type ErrorCode, SuperNodeError } from './core/errors.js';
export type { Logger } from './core/ports.js';
