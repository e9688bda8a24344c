#include "control/meshd/swarm_file.h"

#include "base/file.h"

namespace mesh::meshd {

Result<SwarmFile> load_swarm_file(const std::string& directory) {
  const std::string path = directory + "/swarm.json";
  const std::string text = TRY(read_file(path));
  return TRY_IN(path, decode_text<SwarmFile>(text));
}

Status save_swarm_file(const std::string& directory, const SwarmFile& file) {
  TRY(make_directories(directory, 0700));
  return write_file(directory + "/swarm.json", to_pretty_text(encode(file)) + "\n", 0600);
}

}  // namespace mesh::meshd
