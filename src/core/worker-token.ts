/** How the password of a worker begins: what has this form is the node's to judge, and nobody else's. */
export const WORKER_TOKEN_PREFIX = 'snw_';
