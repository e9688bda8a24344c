// Time check: prints the time and its own version every few seconds, for watching an update from one version to the
// next. APP_VERSION and APP_ENVIRONMENT come from the image, INTERVAL_MS may be set.

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <poll.h>
#include <sys/signalfd.h>

#include "examples/place.h"

namespace {

using mesh::examples::environment_or;

// Hours, minutes, seconds and hundredths as the log shows them: 12:00.01 is one second after noon.
void print_time(const char* version, const char* environment) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  std::printf("App version: %s; environment: %s; time check: %02d:%02d.%02d\n", version, environment, local.tm_hour,
              local.tm_min, local.tm_sec);
  std::fflush(stdout);
}

}  // namespace

int main() {
  const std::string version = environment_or("APP_VERSION", "unknown");
  const std::string environment = environment_or("APP_ENVIRONMENT", "PROD");
  const long wanted_ms = std::strtol(environment_or("INTERVAL_MS", "5000").c_str(), nullptr, 10);
  const int interval_ms = wanted_ms > 0 && wanted_ms <= 3'600'000 ? static_cast<int>(wanted_ms) : 5000;

  // As process 1 the program gets only the signals that it asks for.
  sigset_t stops;
  sigemptyset(&stops);
  sigaddset(&stops, SIGTERM);
  sigaddset(&stops, SIGINT);
  sigprocmask(SIG_BLOCK, &stops, nullptr);
  pollfd stop{signalfd(-1, &stops, SFD_CLOEXEC), POLLIN, 0};
  if (stop.fd < 0) {
    std::perror("signalfd");
    return 1;
  }
  do {
    print_time(version.c_str(), environment.c_str());
  } while (poll(&stop, 1, interval_ms) == 0);
  return 0;
}
