/** The `schema` of each documented route, by a name that only code uses: no more than its id. What the OpenAPI document
 *  says of it stands in route-docs.ts, which is loaded when somebody wants the document. */
export const ROUTE_DOCS = {
  cmd: { operationId: 'command' },
  taskCmd: { operationId: 'sendToWorkers' },
  fetchGet: { operationId: 'fetchAny' },
  fetchGetTask: { operationId: 'fetch' },
  fetchPost: { operationId: 'fetchAnyByBody' },
  fetchPostTask: { operationId: 'fetchByBody' },
  ack: { operationId: 'acknowledge' },
  put: { operationId: 'put' },
  putBare: { operationId: 'putOwn' },
  stat: { operationId: 'nodeStatus' },
  statTask: { operationId: 'taskStatus' },
  info: { operationId: 'info' },
  events: { operationId: 'events' },
  dataOfAll: { operationId: 'allLiveData' },
  data: { operationId: 'liveData' },
  logOfAll: { operationId: 'allLiveLogs' },
  log: { operationId: 'liveLog' },
  metrics: { operationId: 'metrics' },
  health: { operationId: 'health' },
  ready: { operationId: 'ready' },
  openapiJson: { operationId: 'openapiJson' },
  openapiYaml: { operationId: 'openapiYaml' },
  asyncapiYaml: { operationId: 'asyncapiYaml' },
};
export type RouteName = keyof typeof ROUTE_DOCS;
