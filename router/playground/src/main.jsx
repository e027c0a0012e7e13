// GraphiQL with our operations in its tabs. Everything comes from this origin, so it works without the internet.

import './policy.js';
import './tabs.js';
import './workers.js';

import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import 'graphiql/style.css';
import './page.css';
import { createRoot } from 'react-dom/client';

import latest from './operations/1-latest.graphql';
import hot from './operations/2-hot.graphql';
import photo from './operations/3-photo.graphql';
import register from './operations/4-register.graphql';
import claimUsername from './operations/5-claim-username.graphql';
import vote from './operations/6-vote.graphql';
import viewer from './operations/7-viewer.graphql';

const variables = (value) => JSON.stringify(value, null, 2);

// The router refuses what another site could send; this header shows that we are not another site.
const fetcher = createGraphiQLFetcher({ url: '/graphql', headers: { 'x-proofsheet': '1' } });

// So that every tab can be run as it is.
const newest = await fetch('/graphql', {
  method: 'POST',
  headers: { 'content-type': 'application/json', 'x-proofsheet': '1' },
  body: JSON.stringify({ query: 'query Newest { latestPhotos(first: 1) { nodes { id } } }', operationName: 'Newest' }),
})
  .then((answer) => answer.json())
  .then((answer) => answer.data.latestPhotos.nodes[0].id)
  .catch(() => '00000000-0000-0000-0000-000000000000');

const tabs = [
  { query: latest },
  { query: hot },
  { query: photo, variables: variables({ id: newest }) },
  {
    query: register,
    variables: variables({ input: { email: 'ada@example.org', password: 'a long sentence is a good password' } }),
  },
  { query: claimUsername, variables: variables({ username: 'ada' }) },
  { query: vote, variables: variables({ photoId: newest, vote: 'UP' }) },
  { query: viewer },
];

createRoot(document.getElementById('playground')).render(
  <GraphiQL fetcher={fetcher} defaultTabs={tabs} defaultEditorToolsVisibility="variables" />,
);

// GraphiQL asks for the system's theme once. While people have chosen none, the editors follow it.
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', ({ matches }) => {
  const { classList } = document.body;
  if (!classList.contains('graphiql-light') && !classList.contains('graphiql-dark')) {
    // Set by GraphiQL once the editor is loaded.
    globalThis.__MONACO?.editor.setTheme(matches ? 'graphiql-DARK' : 'graphiql-LIGHT');
  }
});
