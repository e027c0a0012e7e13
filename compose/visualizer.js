// Makes a server listen on the loopback address only, because it has no setting for that.
const { Server } = require("net");

const listen = Server.prototype.listen;
Server.prototype.listen = function (port, ...rest) {
  return typeof port === "number"
    ? listen.call(this, { port, host: "127.0.0.1" }, ...rest)
    : listen.call(this, port, ...rest);
};
