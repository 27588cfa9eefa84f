// Asks an HTTPS service that wants a client certificate, by Node's own https, with the identity that the agent exported.
//
// usage: node https.cjs URL IDENTITY
//   IDENTITY  the folder that the agent writes ([export] directory in its settings, then /current)
//
// Prints the answer. Exit status 0 only for an answer of 2xx.
'use strict';

const fs = require('node:fs');
const https = require('node:https');

const [url, identity] = process.argv.slice(2);
if (!identity) {
  console.error('usage: node https.cjs URL IDENTITY');
  process.exit(2);
}

// Read anew for each agent: a device renews its certificate, and the folder then holds the next one.
const agent = new https.Agent({
  cert: fs.readFileSync(`${identity}/chain.pem`),
  key: fs.readFileSync(`${identity}/key.pem`),
  ca: fs.readFileSync(`${identity}/trust.pem`),
  minVersion: 'TLSv1.2',
});

const request = https.get(url, { agent, timeout: 20_000 }, (response) => {
  response.setEncoding('utf8');
  let body = '';
  response.on('data', (part) => {
    body += part;
  });
  response.on('end', () => {
    console.log(body);
    const good = response.statusCode >= 200 && response.statusCode < 300;
    if (!good) {
      console.error(`status ${response.statusCode}`);
    }
    process.exitCode = good ? 0 : 1;
  });
});
request.on('timeout', () => request.destroy(new Error('no answer in time')));
request.on('error', (error) => {
  console.error(error.message);
  process.exitCode = 1;
});
