// Asks an HTTPS service that wants a client certificate, by axios, with the identity that the agent exported. To have
// axios: npm ci, beside this file.
//
// usage: node axios.cjs URL IDENTITY
//   IDENTITY  the folder that the agent writes ([export] directory in its settings, then /current)
//
// Prints the answer. Exit status 0 only for an answer of 2xx.
'use strict';

const fs = require('node:fs');
const https = require('node:https');
const axios = require('axios');

const [url, identity] = process.argv.slice(2);
if (!identity) {
  console.error('usage: node axios.cjs URL IDENTITY');
  process.exit(2);
}

// axios takes the identity as an agent of Node's https. Make a new one when the device has renewed its certificate.
const client = axios.create({
  timeout: 20_000,
  maxRedirects: 0,
  // No proxy of the environment: TLS is to end at the service.
  proxy: false,
  responseType: 'text',
  httpsAgent: new https.Agent({
    cert: fs.readFileSync(`${identity}/chain.pem`),
    key: fs.readFileSync(`${identity}/key.pem`),
    ca: fs.readFileSync(`${identity}/trust.pem`),
    minVersion: 'TLSv1.2',
  }),
});

client.get(url).then(
  (answer) => console.log(answer.data),
  (error) => {
    console.error(error.response ? `status ${error.response.status}` : error.message);
    process.exitCode = 1;
  },
);
