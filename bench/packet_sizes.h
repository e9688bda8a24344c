// How large the programs are, what their tables take, and how fast all rings are rewritten.
#pragma once

#include "base/json.h"
#include "bench/packet_world.h"

namespace mesh::bench {

// Program -> {"jit": bytes, "instructions": that the verifier visited, "maps": bytes of all maps that it uses}, as the
// programs of this host are loaded without anything in their tables.
[[nodiscard]] Result<JsonObject> program_sizes();

// Milliseconds to write the rings of all many services and switch each service to a new version, through the mapped
// arrays as dataplane/ does it.
[[nodiscard]] Result<double> rewrite_rings_ms(const MeshObject& mesh, std::uint32_t version);

}  // namespace mesh::bench
