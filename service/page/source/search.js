// Finding a place by its name, or the nearest one, in the list of this service.

const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").replaceAll("ß", "ss").toLowerCase().replace(/[^a-z0-9]+/g, " ").trim();

// Places are [name, country, latitude, longitude, thousands of inhabitants], the largest first, some with another name and
// its language. The name of one in a language:
export const nameIn = (place, language) => (place[6] === language ? place[5] : place[0]);

// Places of the map's own area come before all others, and names that begin with the text before those that hold it.
// `outline` is the edge of the area: [longitude, latitude] each.
export function findPlaces(places, text, most = 8, outline = null) {
  if (outline) {
    const [west, east, south, north] = [0, 0, 1, 1].map((axis, side) => Math[side % 2 ? "max" : "min"](...outline.map((point) => point[axis])));
    const isNear = ([, , lat, lon]) => lat >= south && lat <= north && lon >= west && lon <= east;
    const found = findPlaces(places.filter(isNear), text, most);
    return [...found, ...findPlaces(places.filter((place) => !isNear(place)), text, most - found.length)];
  }
  const wanted = plain(text);
  if (!wanted) return [];
  const first = [];
  const later = [];
  for (const place of places) {
    const names = [place[0], place[5] || ""].map(plain);
    if (names.some((name) => name.startsWith(wanted))) first.push(place);
    else if (later.length < most && names.some((name) => name.includes(` ${wanted}`))) later.push(place);
    if (first.length >= most) break;
  }
  return [...first, ...later].slice(0, most);
}

const KM_PER_DEGREE = 111.2;
const FARTHEST_KM = 30;

// The nearest place of the list with its distance; null where none is within 30 km.
export function nearestPlace(places, lat, lon, language = "en") {
  const east = Math.cos((lat * Math.PI) / 180);
  let best = null;
  for (const place of places) {
    const north = place[2] - lat;
    if (Math.abs(north) * KM_PER_DEGREE > FARTHEST_KM) continue;
    const km = KM_PER_DEGREE * Math.hypot(north, (place[3] - lon) * east);
    if (km <= FARTHEST_KM && (!best || km < best.km)) best = { name: nameIn(place, language), km };
  }
  return best;
}
