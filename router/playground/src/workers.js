// The editor (Monaco) checks documents in web workers. The build inserts the names of their files here.

/* global WORKERS */
globalThis.MonacoEnvironment = {
  getWorker: (_id, label) => new Worker(WORKERS[label] ?? WORKERS.editor),
};
