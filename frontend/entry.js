// Starts the app, once the page that came from the router has been seen: what is taken away before it was painted was
// painted for nothing. Nor does the code compete with the first picture for a slow line.

import init from './app.js';

/** The longest wait for a picture that does not come. */
const PATIENCE = 1500;

const wait = (time) => new Promise((done) => setTimeout(done, time));
// Windows that are not shown have no frames.
const frame = () => Promise.race([new Promise(requestAnimationFrame), wait(100)]);

const picture = document.querySelector('#first-paint img');
if (picture) {
  await Promise.race([picture.decode().catch(() => {}), wait(PATIENCE)]);
  await frame();
  await frame();
}
await init({ module_or_path: '%APP_WASM%' });
