// The forecast at a place, with its times in the place's own zone.

import { get, plainLink } from "./api.js";

export const fetchPoint = (link, { lat, lon }) => get(`${plainLink(link)}?lat=${lat.toFixed(4)}&lon=${lon.toFixed(4)}&tz=auto`);
