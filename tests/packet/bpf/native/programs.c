// The programs, compiled natively, and a description of their maps.
#include "tests/packet/bpf/native/programs.h"

#include "bpf/mesh.bpf.c"

#define DESCRIBE(symbol)                      \
  {&symbol,                                   \
   #symbol,                                   \
   sizeof(*symbol.key),                       \
   sizeof(*symbol.value),                     \
   sizeof(*symbol.max_entries) / sizeof(int), \
   sizeof(*symbol.type) / sizeof(int)}

#define MESH_X(symbol, text) DESCRIBE(symbol),
const struct mesh_native_map mesh_native_maps[] = {MESH_MAPS(MESH_X) DESCRIBE(mesh_scratch)};
#undef MESH_X
const unsigned mesh_native_map_count = sizeof(mesh_native_maps) / sizeof(mesh_native_maps[0]);
