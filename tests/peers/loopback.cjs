// Preloaded into a server (`node --require`) that would listen on every interface and has no option for it: a port
// given alone is bound on 127.0.0.1, so that a test opens nothing to the network. Says on stderr where that is, because
// with port 0 the system chooses.
const net = require("node:net");

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
  if (!/^\d+$/.test(String(args[0]))) return listen.apply(this, args);
  const onListening = args.find((arg) => typeof arg === "function");
  this.once("listening", () => {
    const { address, port } = this.address();
    console.error(`loopback.cjs: listening on ${address}:${port}`);
  });
  return listen.call(this, { port: Number(args[0]), host: "127.0.0.1" }, onListening);
};
