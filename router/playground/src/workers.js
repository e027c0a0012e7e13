// The editor (Monaco) checks documents in workers. Their files are built beside ours; the build puts their names here.

/* global WORKERS */
globalThis.MonacoEnvironment = {
  getWorker: (_id, label) => new Worker(WORKERS[label] ?? WORKERS.editor),
};
