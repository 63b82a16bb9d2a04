// The map: coast, borders and places from files of this service, and one layer of tiles for each frame.

import L from "leaflet";
import { feature, mesh } from "topojson-client";
import { get } from "./api.js";
import { nameIn } from "./search.js";

const OPACITY = 0.85;
const CELLS_PER_PIXEL = 0.5;
const EQUATOR_PIXEL_M = 156_543;
const SIDE = 512;
const KM_PER_DEGREE = 111.2;
const SLOWEST_KMH = 3;
const LABEL_ROOM = { dot: 28, letter: 8, height: 30 }; // of a name and its dot, in pixels
const isCalm = matchMedia("(prefers-reduced-motion: reduce)");

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Shaft and head of an arrow in degrees, from a place towards a direction.
export function arrow(lat, lon, km, towards) {
  const step = (from, length, degrees) => {
    const angle = (degrees * Math.PI) / 180;
    return [from[0] + (length * Math.cos(angle)) / KM_PER_DEGREE, from[1] + (length * Math.sin(angle)) / (KM_PER_DEGREE * Math.cos((lat * Math.PI) / 180))];
  };
  const tip = step([lat, lon], km, towards);
  return [[[lat, lon], tip], [step(tip, km * 0.35, towards + 150), tip, step(tip, km * 0.35, towards - 150)]];
}

export class RainMap {
  // `onState(key, state)`: a frame's picture is "ready", "failed", or (undefined) gone since the map was moved.
  constructor(id, { onState, onClick, onView }) {
    this.onState = onState;
    this.layers = new Map();
    this.shown = null;
    this.map = L.map(id, { fadeAnimation: false, zoomAnimation: !isCalm.matches, inertia: !isCalm.matches, zoomControl: false, attributionControl: false, minZoom: 3, maxZoom: 12, worldCopyJump: false });
    L.control.zoom({ position: "topright" }).addTo(this.map);
    L.control.scale({ imperial: false, position: "bottomright" }).addTo(this.map);
    for (const [name, z] of [["land", 150], ["rain", 250], ["lines", 350], ["names", 450]]) {
      const pane = this.map.createPane(name);
      pane.style.zIndex = z;
      pane.style.pointerEvents = "none";
    }
    this.renderers = { land: L.canvas({ pane: "land", padding: 0.3 }), lines: L.canvas({ pane: "lines", padding: 0.3 }) };
    this.names = L.layerGroup().addTo(this.map);
    this.map.on("click", (event) => onClick(event.latlng));
    this.map.on("keydown", ({ originalEvent: { key } }) => { if (key === "Enter") onClick(this.map.getCenter()); });
    this.map.on("moveend", () => {
      this.forget();
      this.showNames();
      onView();
    });
  }

  // Show a grid: fit the view to it, unless the address names one, and shade what lies outside.
  showGrid(grid, edge, view) {
    const outline = edge.map(([lon, lat]) => [lat, lon]);
    this.bounds = L.latLngBounds(outline);
    const middle = this.bounds.getCenter();
    const pixel = Math.max(grid.pixel_x_m, grid.pixel_y_m) * CELLS_PER_PIXEL;
    this.deepest = Math.ceil(Math.log2((EQUATOR_PIXEL_M * Math.cos((middle.lat * Math.PI) / 180)) / pixel));
    if (this.outside) this.outside.remove();
    const world = [[-85, -540], [-85, 540], [85, 540], [85, -540]];
    this.outside = L.polygon([world, outline], { renderer: this.renderers.lines, pane: "lines", interactive: false, className: "outside",
      stroke: true, weight: 1, color: colour("--outside-line"), fillColor: colour("--outside"), fillOpacity: 0.45 }).addTo(this.map);
    if (view) this.map.setView([view.lat, view.lon], view.zoom, { animate: false });
    else this.map.fitBounds(this.bounds, { animate: false });
  }

  async showLand() {
    this.base ||= await get("page/basemap.json");
    for (const layer of this.land || []) layer.remove();
    const { world, near, states, waters } = this.base;
    const [far, coarse] = [world.objects.far, world.objects.near].map((object) => new Set(object.geometries));
    const countries = { type: "GeometryCollection", geometries: [...far, ...coarse] };
    const fill = (part, object, name) => this.shape(feature(part, object), "land", { stroke: false, fillColor: colour(name), fillOpacity: 1 });
    const outline = (geometry, pane, name, weight, more = {}) => this.shape(geometry, pane, { fill: false, color: colour(name), weight, ...more });
    const isFar = (a, b) => far.has(a) && far.has(b);
    document.getElementById("map").style.background = colour("--sea");
    this.land = [
      fill(world, world.objects.land, "--land"),
      fill(near, near.objects.countries, "--land"),
      fill(waters, waters.objects.lakes, "--sea"),
      outline(feature(waters, waters.objects.rivers), "land", "--river", 1.4),
      outline(feature(waters, waters.objects.rivers), "lines", "--river", 0.6),
      outline(mesh(states, states.objects.states, (a, b) => a !== b), "lines", "--state", 0.9, { dashArray: "4 3" }),
      outline(mesh(world, countries, (a, b) => a === b && far.has(a)), "lines", "--coast", 0.8),
      outline(mesh(world, countries, (a, b) => a !== b && isFar(a, b)), "lines", "--border", 1),
      outline(mesh(near, near.objects.countries, (a, b) => a === b), "lines", "--coast", 0.9),
      outline(mesh(near, near.objects.countries, (a, b) => a !== b), "lines", "--border", 1.4),
    ];
  }

  shape(geometry, pane, style) {
    return L.geoJSON(geometry, { interactive: false, smoothFactor: 0.7, pane, renderer: this.renderers[pane], style }).addTo(this.map);
  }

  // Draw all but the rain again in the colours of the page, which are others in the dark.
  recolour() {
    if (this.base) this.showLand();
    if (this.outside) this.outside.setStyle({ color: colour("--outside-line"), fillColor: colour("--outside") });
    if (this.marker) this.marker.setStyle({ color: colour("--mark") });
    if (this.arrows) this.arrows.setStyle({ color: colour("--town") });
  }

  translate(zoomIn, zoomOut, language) {
    this.language = language;
    this.showNames();
    for (const [name, words] of [["in", zoomIn], ["out", zoomOut]]) {
      const button = this.map.getContainer().querySelector(`.leaflet-control-zoom-${name}`);
      button.title = words;
      button.setAttribute("aria-label", words);
    }
  }

  setPlaces(places) {
    this.places = places;
    this.showNames();
  }

  // Names of the largest places of the view that do not overlap.
  showNames() {
    if (!this.places || !this.bounds) return; // without a forecast there is no view yet
    this.names.clearLayers();
    const view = this.map.getBounds();
    const taken = [];
    const smallest = 1200 / 4 ** Math.max(0, this.map.getZoom() - 4); // thousands of inhabitants
    for (const place of this.places) {
      const [, , lat, lon, thousands] = place;
      const name = nameIn(place, this.language);
      if (thousands < smallest || taken.length > 40) break; // the largest come first
      if (!view.contains([lat, lon])) continue;
      const { x, y } = this.map.latLngToContainerPoint([lat, lon]);
      const end = x + LABEL_ROOM.dot + LABEL_ROOM.letter * name.length;
      if (taken.some((other) => x < other.end && other.x < end && Math.abs(other.y - y) < LABEL_ROOM.height)) continue;
      taken.push({ x, y, end });
      const icon = L.divIcon({ className: "town", iconSize: [0, 0], html: `<i></i><span></span>` });
      const marker = L.marker([lat, lon], { icon, pane: "names", interactive: false, keyboard: false }).addTo(this.names);
      marker.getElement().querySelector("span").textContent = name;
    }
  }

  // Load the tiles of a frame, invisible until `reveal`.
  load(frame) {
    if (frame.tiles === null || this.layers.has(frame.key)) return;
    const layer = L.tileLayer(frame.tiles, { pane: "rain", tileSize: SIDE, zoomOffset: -1, maxNativeZoom: this.deepest, minZoom: 1, bounds: this.bounds,
      opacity: 0, keepBuffer: 0, updateWhenIdle: true, className: "rain" });
    let failed = false;
    layer.on("tileerror", () => (failed = true));
    layer.on("loading", () => (failed = false));
    layer.on("load", () => this.decoded(layer).then(() => { if (this.layers.get(frame.key) === layer) this.onState(frame.key, failed ? "failed" : "ready"); }));
    this.layers.set(frame.key, layer);
    layer.addTo(this.map);
    if (!layer.isLoading()) this.onState(frame.key, "ready"); // no tile of the grid is in view
  }

  // Wait until the tiles of a layer are decoded: else the browser decodes them when the frame shall appear.
  decoded(layer) {
    const images = [...layer.getContainer().querySelectorAll("img")];
    return Promise.all(images.map((image) => image.decode().catch(() => {}))); // a tile that failed to load
  }

  // Make one frame visible and the one before it invisible; null shows none. Of all other layers nothing changes.
  reveal(frame) {
    const key = frame ? frame.key : null;
    if (this.shown !== null && this.shown !== key) this.fade(this.shown, 0);
    this.shown = key;
    this.fade(key, OPACITY);
  }

  fade(key, opacity) {
    const layer = this.layers.get(key);
    if (layer && layer.options.opacity !== opacity) layer.setOpacity(opacity);
  }

  // Remove the layers of frames that are not shown: after a move they would all load tiles for the new view.
  forget(keep = () => false) {
    for (const [key, layer] of this.layers) {
      if (key === this.shown || keep(key)) continue;
      layer.remove();
      this.layers.delete(key);
      this.onState(key, undefined);
    }
  }

  // Arrows of the motion of the rain, as long as it moves in half an hour; none for an empty list.
  showMotion(vectors) {
    if (this.arrows) this.arrows.remove();
    const lines = vectors.filter((one) => one.speed_kmh >= SLOWEST_KMH).map((one) => arrow(one.lat, one.lon, one.speed_kmh / 2, one.towards_degrees));
    this.arrows = L.polyline(lines.flat(), { renderer: this.renderers.lines, pane: "lines", interactive: false, weight: 1.8, color: colour("--town"), opacity: 0.8 }).addTo(this.map);
  }

  mark(place) {
    if (this.marker) this.marker.remove();
    this.marker = place && L.circleMarker([place.lat, place.lon], { radius: 8, weight: 3, color: colour("--mark"), fillColor: "#fff", fillOpacity: 0.9, interactive: false }).addTo(this.map);
  }

  goTo(place, zoom = 9) {
    this.map.setView([place.lat, place.lon], Math.max(zoom, this.map.getZoom()), { animate: !isCalm.matches });
  }

  view() {
    const { lat, lng } = this.map.getCenter();
    return { lat, lon: lng, zoom: this.map.getZoom() };
  }

  resize() {
    this.map.invalidateSize();
  }
}
