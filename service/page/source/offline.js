// The page as an installed program: a service worker keeps the last forecast for times without a connection.

export async function startWorker() {
  if (!navigator.serviceWorker || !isSecureContext) return;
  await navigator.serviceWorker.register("sw.js").catch(() => {}); // without it the page works online
}

// Tiles of other forecasts are no longer needed.
export const keepForecast = (id) => navigator.serviceWorker?.controller?.postMessage({ keep: id });
