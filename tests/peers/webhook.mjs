// A receiver of webhooks, by the library of Standard Webhooks: `node webhook.mjs SECRET REQUESTS_JSON`, where a request is
// {"headers": {...}, "body": "..."}. Prints one JSON array with the bodies; a request that is not genuine ends it with exit
// code 1.
import { Webhook } from "standardwebhooks";

const [secret, requests] = process.argv.slice(2);
const receiver = new Webhook(secret);
console.log(JSON.stringify(JSON.parse(requests).map(({ headers, body }) => receiver.verify(body, headers))));
