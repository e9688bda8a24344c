#include "examples/place.h"

#include <cstdlib>
#include <unistd.h>

namespace mesh::examples {

std::string environment_or(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

Place place_from_environment() {
  char name[256] = "";
  if (gethostname(name, sizeof name - 1) != 0) name[0] = '\0';
  return {name, environment_or("NODE_HOSTNAME", "")};
}

unsigned short port_from_environment() {
  const long port = std::strtol(environment_or("PORT", "80").c_str(), nullptr, 10);
  return port > 0 && port <= 65535 ? static_cast<unsigned short>(port) : 80;
}

}  // namespace mesh::examples
