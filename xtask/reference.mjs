// A reference execution of the public schema, for comparison with the router's responses.
//
// graphql-js executes operations. Each field is resolved by a separate request to the subgraph that owns it, without a
// query planner. Results of requests are cached until a line has {forget: true}.
//
// First line of standard input:  {supergraph, urls: {GRAPH: url}}: the text of the supergraph, and each subgraph's
// URL.
// Other lines:                   {id, query, variables, token, response, forget}: response is the router's response.
// Standard output, a line each:  {id, verdict, expected, requests}.
import { createInterface } from 'node:readline';
import {
  GraphQLError, buildASTSchema, execute, getNamedType, isLeafType, isListType, isNonNullType, parse, validate, visit,
} from 'graphql';

/** The public schema, and which subgraphs own which type and field. */
function readSupergraph(text) {
  const document = parse(text);
  const isInternal = (name) => name.startsWith('join__') || name.startsWith('link__');
  const graphs = (node, directive) =>
    (node.directives ?? [])
      .filter(({ name }) => name.value === directive)
      .flatMap(({ arguments: given }) => given.filter(({ name }) => name.value === 'graph'))
      .map(({ value }) => value.value);
  const isEntity = (node) =>
    node.directives.some(({ name, arguments: given }) =>
      name.value === 'join__type' && given.some(({ name }) => name.value === 'key'));

  const owners = new Map();
  const entities = new Set();
  for (const node of document.definitions) {
    if (node.kind !== 'ObjectTypeDefinition') continue;
    const all = graphs(node, 'join__type');
    if (isEntity(node)) entities.add(node.name.value);
    for (const field of node.fields) {
      const own = graphs(field, 'join__field');
      owners.set(`${node.name.value}.${field.name.value}`, own.length > 0 ? own : all);
    }
  }
  const definitions = document.definitions.filter(
    (node) => node.kind !== 'DirectiveDefinition' && !(node.name && isInternal(node.name.value)),
  );
  const plain = visit({ ...document, definitions }, { Directive: () => null });
  return { schema: buildASTSchema(plain), owners, entities };
}

/** Sends requests to subgraphs. Caches results. */
class Subgraphs {
  constructor(urls) {
    this.urls = urls;
    this.asked = new Map();
  }

  ask(graph, token, query, variables) {
    const body = JSON.stringify({ query, variables });
    const key = `${graph} ${token ?? ''} ${body}`;
    if (!this.asked.has(key)) this.asked.set(key, this.send(graph, token, body));
    return this.asked.get(key);
  }

  async send(graph, token, body) {
    const headers = { 'content-type': 'application/json' };
    if (token) headers.authorization = `Bearer ${token}`;
    const response = await fetch(this.urls[graph], { method: 'POST', headers, body });
    return response.json();
  }
}

/** Resolves one field. A source is {id} for an entity, {graph, base, chain, indices} for an object of one subgraph. */
function resolver({ schema, owners, entities }, subgraphs) {
  // Fields that identify an object, so that it can be found again, and leaves that need no further requests.
  const leaves = (type) => {
    if (entities.has(type.name)) return 'id';
    const names = Object.values(type.getFields())
      .filter((field) => field.args.length === 0 && isLeafType(getNamedType(field.type)))
      .map((field) => field.name);
    return ['__typename', ...names].join(' ');
  };

  /** The value at the end of a chain of fields. */
  const read = async (graph, base, chain, indices, selection, token) => {
    const variables = {};
    const declarations = [];
    const fields = chain.map(({ definition, args }) => {
      const given = definition.args.filter(({ name }) => name in args);
      const list = given.map((argument) => {
        const name = `v${declarations.length}`;
        declarations.push(`$${name}: ${argument.type}`);
        variables[name] = args[argument.name];
        return `${argument.name}: $${name}`;
      });
      return definition.name + (list.length > 0 ? `(${list.join(', ')})` : '');
    });
    let text = fields.reduceRight((inner, field) => `${field}${inner && ` { ${inner} }`}`, selection);
    let path = [];
    if (base) {
      declarations.unshift('$of: [_Any!]!');
      variables.of = [{ __typename: base.type, id: base.id }];
      text = `_entities(representations: $of) { ... on ${base.type} { ${text} } }`;
      path = ['_entities', 0];
    }
    const head = declarations.length > 0 ? `(${declarations.join(', ')})` : '';
    const { data, errors } = await subgraphs.ask(graph, token, `query ${head} { ${text} }`, variables);

    let value = data;
    for (const key of path) value = value?.[key];
    const left = [...indices];
    for (const { definition } of chain) {
      value = value?.[definition.name];
      path.push(definition.name);
      for (let type = nullable(definition.type); isListType(type) && left.length > 0; type = nullable(type.ofType)) {
        const index = left.shift();
        value = value?.[index];
        path.push(index);
      }
    }
    // Errors inside entities have no indices in their paths.
    const names = path.filter((key) => typeof key === 'string');
    const isAbove = ({ path = [] }) =>
      path.filter((key) => typeof key === 'string').every((key, position) => names[position] === key);
    const error = value == null ? errors?.find(isAbove) : undefined;
    if (error) throw new GraphQLError(error.message, { extensions: error.extensions });
    return value ?? null;
  };

  const nullable = (type) => (isNonNullType(type) ? type.ofType : type);

  return async (source, args, { token }, info) => {
    const type = info.parentType;
    const definition = type.getFields()[info.fieldName];
    const isRoot = type === schema.getQueryType();
    if (entities.has(type.name) && info.fieldName === 'id') return source.id;

    const isNew = isRoot || entities.has(type.name);
    const graph = isNew ? owners.get(`${type.name}.${info.fieldName}`)[0] : source.graph;
    const base = isRoot ? null : isNew ? { type: type.name, id: source.id } : source.base;
    const above = isNew ? [] : source.chain;
    const indices = isNew ? [] : source.indices;
    const chain = [...above, { definition, args }];

    const named = getNamedType(definition.type);
    if (isLeafType(named)) {
      if (isNew || definition.args.length > 0) return read(graph, base, chain, indices, '', token);
      const object = await read(graph, base, above, indices, leaves(type), token);
      return object?.[info.fieldName];
    }
    const value = await read(graph, base, chain, indices, leaves(named), token);
    const place = (value, indices) => {
      if (value === null) return null;
      if (Array.isArray(value)) return value.map((item, index) => place(item, [...indices, index]));
      return entities.has(named.name) ? { id: value.id } : { graph, base, chain, indices };
    };
    return place(value, indices);
  };
}

/** Compares the router's response with the expected one. */
function compare(expected, actual) {
  if (expected.data === undefined) {
    return actual.data == null && actual.errors?.length > 0 ? 'invalid' : 'accepts what is invalid';
  }
  const failed = actual.errors?.length > 0;
  if (actual.data == null && failed) return expected.data === null ? 'same' : 'refused';
  const sorted = (_, value) =>
    value !== null && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value;
  if (JSON.stringify(expected.data, sorted) !== JSON.stringify(actual.data, sorted)) return 'different data';
  if (failed !== (expected.errors?.length > 0)) return failed ? 'unexpected errors' : 'missing errors';
  if (JSON.stringify(expected.data) !== JSON.stringify(actual.data)) return 'different order';
  return 'same';
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { supergraph, urls } = JSON.parse((await lines.next()).value);
const graph = readSupergraph(supergraph);
const subgraphs = new Subgraphs(urls);
const fieldResolver = resolver(graph, subgraphs);

async function run({ query, variables, token }) {
  const document = parse(query);
  const errors = validate(graph.schema, document);
  if (errors.length > 0) return { errors };
  return execute({
    schema: graph.schema, document, variableValues: variables, contextValue: { token }, fieldResolver,
  });
}

for await (const line of lines) {
  const { id, response, forget, ...operation } = JSON.parse(line);
  if (forget) subgraphs.asked.clear();
  let expected;
  try {
    expected = await run(operation);
  } catch (error) {
    expected = { errors: [error] };
  }
  const verdict = compare(expected, JSON.parse(response));
  process.stdout.write(`${JSON.stringify({ id, verdict, expected, requests: subgraphs.asked.size })}\n`);
}
