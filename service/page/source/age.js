// How old the newest scan is, from times.

// The service's clock now: as it was in the answer, plus the time since then.
const serviceTime = ({ clock, at }) => clock + Math.max(0, Date.now() - at);

// Whether the scans are played: then the clock stands at the newest of them, and says nothing about their age.
export const isPlayed = (forecast, ready) => forecast.weather === "replayed" || "replay" in (ready ? ready.checks : {});

// Age in seconds and whether that is too old, for a forecast of which `receipt` says when the service had which time.
export function ageOf(forecast, receipt, ready) {
  const now = serviceTime(receipt);
  const isLate = !isPlayed(forecast, ready) && now > Date.parse(forecast.stale_from);
  return { seconds: Math.max(0, (now - Date.parse(forecast.reference_time)) / 1000), stale: forecast.stale || isLate };
}
