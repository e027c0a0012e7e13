// Starts the app after the browser has painted the page that the router rendered. Starting earlier would replace that
// page before visitors see it, and on slow connections delay its first photo.

import init from './app.js';

/** The longest wait for the first photo, in milliseconds. */
const IMAGE_TIMEOUT = 1500;

const wait = (time) => new Promise((done) => setTimeout(done, time));
// Hidden tabs get no animation frames, so do not wait for one for longer than 100 ms.
const frame = () => Promise.race([new Promise(requestAnimationFrame), wait(100)]);

const picture = document.querySelector('#first-paint img');
if (picture) {
  await Promise.race([picture.decode().catch(() => {}), wait(IMAGE_TIMEOUT)]);
  await frame();
  await frame();
}
await init({ module_or_path: '%APP_WASM%' });
