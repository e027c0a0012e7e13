// Composes the SDL of the subgraphs into the supergraph.
//
// Standard input:  a JSON list of {name, url, sdl}.
// Standard output: the supergraph. Errors of composition go to standard error, one a line.
import { readFileSync } from 'node:fs';
import { composeServices } from '@theguild/federation-composition';
import { parse } from 'graphql';

const services = JSON.parse(readFileSync(0, 'utf8'));
const result = composeServices(
  services.map(({ name, url, sdl }) => ({ name, url, typeDefs: parse(sdl) })),
);

if (result.errors?.length) {
  for (const error of result.errors) console.error(error.message);
  process.exit(1);
}
process.stdout.write(`${result.supergraphSdl.trimEnd()}\n`);
