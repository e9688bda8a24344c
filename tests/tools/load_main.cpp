// mesh-load: a client that notices. See --help; the results are lines of JSON on standard output: one with
// "event":"open" once every connection was answered, one with "event":"end". Exit status 1: something went wrong.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "tests/tools/load.h"

int main(int argc, char** argv) {
  using namespace mesh::tools;
  LoadOptions options;
  std::string targets;
  unsigned interval_ms = 500;
  unsigned duration_ms = 0;
  unsigned timeout_ms = 10'000;

  CLI::App app{"Opens connections, keeps them busy and verifies every answer; ends with its standard input."};
  app.require_subcommand(1);
  auto* echo = app.add_subcommand("echo", "lines to mesh-echo on connections that stay open");
  auto* http = app.add_subcommand("http", "pages, a connection for each");
  for (auto* one : {echo, http}) {
    one->add_option("targets", targets, "ADDRESS:PORT,… used in turn")->required();
    one->add_option("-n,--connections", options.connections, "at a time")->check(CLI::Range(1, 60'000));
    one->add_option("--interval-ms", interval_ms, "between two requests of one connection");
    one->add_option("--duration-ms", duration_ms, "0: until standard input ends");
    one->add_option("--timeout-ms", timeout_ms, "for a connection and for an answer");
    one->add_option("--source", options.source, "local address");
  }
  echo->add_flag("--udp", options.udp, "datagrams");
  echo->add_option("--first-port", options.first_port, "each local port from here on is used towards all targets");
  http->add_option("--path", options.path);
  http->add_option("--expect", options.expect, "text that every body must contain");
  CLI11_PARSE(app, argc, argv);

  options.targets = parse_addresses(targets);
  options.interval = Milliseconds(interval_ms);
  options.duration = Milliseconds(duration_ms);
  options.timeout = Milliseconds(timeout_ms);
  want_files(options.connections + 64);
  return echo->parsed() ? run_echo_load(options) : run_http_load(options);
}
