// The layout of every table, as BTF tells it, is what tests/unit/abi/<version>.txt says of this version; and what the
// version before had is converted completely.
#include <array>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "dataplane/abi_previous.h"
#include "dataplane/kernel.h"
#include "dataplane/takeover.h"

namespace mesh::dataplane {
namespace {

constexpr std::array kCounterNames = {
#define MESH_X(NAME, name, text) name,
    MESH_DROP_REASONS(MESH_X) MESH_EVENTS(MESH_X)
#undef MESH_X
};

std::string golden_path(std::uint32_t version) {
  return fmt::format("{}/tests/unit/abi/{}.txt", MESH_TEST_SOURCE_DIR, version);
}

// Structs reached from `id`, by name, as text.
void describe_struct(const btf* types, std::uint32_t id, std::map<std::string, std::string>& structs) {
  const btf_type* type = btf__type_by_id(types, static_cast<std::uint32_t>(btf__resolve_type(types, id)));
  while (type != nullptr && btf_is_array(type)) {
    type = btf__type_by_id(types, static_cast<std::uint32_t>(btf__resolve_type(types, btf_array(type)->type)));
  }
  if (type == nullptr || !btf_is_composite(type)) return;
  const std::string name = btf__name_by_offset(types, type->name_off);
  if (name.empty() || structs.contains(name)) return;
  std::string& text = structs[name];
  text = fmt::format("struct {} {}\n", name, type->size);
  for (std::uint32_t i = 0; i < btf_vlen(type); ++i) {
    const btf_member& member = btf_members(type)[i];
    text += fmt::format("  {} {} {}\n", btf__name_by_offset(types, member.name_off), btf_member_bit_offset(type, i) / 8,
                        btf__resolve_size(types, member.type));
    describe_struct(types, member.type, structs);
  }
}

std::string layout_text() {
  const BpfObject& elf = bpf_objects().front();
  const ObjectPointer object(bpf_object__open_mem(elf.elf.data(), elf.elf.size(), nullptr));
  if (!object) throw std::runtime_error("the BPF object cannot be read");
  const btf* types = bpf_object__btf(object.get());
  std::map<std::string, std::string> maps, structs;
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object.get()) {
    const std::string name = bpf_map__name(map);
    if (name == "mesh_scratch") continue;  // private to the object
    maps[name] = fmt::format("map {} type {} key {} value {} rows {} flags {}\n", name,
                             static_cast<int>(bpf_map__type(map)), bpf_map__key_size(map), bpf_map__value_size(map),
                             bpf_map__max_entries(map), bpf_map__map_flags(map));
    describe_struct(types, bpf_map__btf_key_type_id(map), structs);
    describe_struct(types, bpf_map__btf_value_type_id(map), structs);
  }
  std::string text;
  for (const auto& [name, line] : maps) text += line;
  for (const auto& [name, lines] : structs) text += lines;
  for (std::size_t i = 0; i < kCounterNames.size(); ++i) text += fmt::format("counter {} {}\n", i, kCounterNames[i]);
  return text;
}

struct Layout {
  MapShapes maps;
  std::map<std::string, std::string> structs;
  std::map<std::string, std::uint32_t> counters;
};

Layout read_golden(std::uint32_t version) {
  Layout layout;
  std::ifstream file(golden_path(version));
  std::string line, in_struct;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string kind, name, word;
    words >> kind >> name;
    if (kind == "map") {
      MapShape& shape = layout.maps[name];
      words >> word >> shape.type >> word >> shape.key_size >> word >> shape.value_size >> word >> shape.rows_max >>
          word >> shape.flags;
    } else if (kind == "counter") {
      words >> word;
      layout.counters[word] = static_cast<std::uint32_t>(std::stoul(name));
    } else {
      if (kind == "struct") in_struct = name;
      layout.structs[in_struct] += line + "\n";
    }
  }
  return layout;
}

TEST(Abi, LayoutIsThatOfItsVersion) {
  const std::string path = golden_path(MESH_ABI_VERSION);
  if (std::getenv("MESH_ABI_UPDATE") != nullptr) ASSERT_TRUE(write_file(path, layout_text()));
  EXPECT_EQ(layout_text(), read_file(path).value_or(""))
      << "a table has changed. More or fewer rows: run this test with MESH_ABI_UPDATE=1. Anything else is another "
         "version: raise MESH_ABI_VERSION, say in dataplane/abi_previous.h and takeover.cpp what the rows of the one "
         "before become, and keep its text";
}

TEST(Abi, ThePreviousVersionIsWhatItsTextSays) {
  const Layout then = read_golden(previous::kVersion);
  ASSERT_FALSE(then.maps.empty());
  EXPECT_EQ(then.maps.at("mesh_config").value_size, previous::kConfigSize);
  // What it had is where it was.
  const Layout now = read_golden(MESH_ABI_VERSION);
  const std::string& before = then.structs.at("mesh_config");
  const std::string fields = before.substr(before.find('\n'));
  EXPECT_THAT(now.structs.at("mesh_config"), testing::HasSubstr(fields));
}

TEST(Abi, AllOfThePreviousVersionIsTakenOver) {
  const Layout then = read_golden(previous::kVersion), now = read_golden(MESH_ABI_VERSION);
  const Takeover takeover = take_over(now.maps, then.maps, previous::kVersion);
  EXPECT_EQ(takeover.lost, "");
  for (const auto& [name, shape] : then.maps) {
    EXPECT_TRUE(!now.maps.contains(name) || !takeover.anew.contains(name) || takeover.taken.contains(name)) << name;
  }
  // A struct that has changed is in a map whose rows are converted, or begins anew.
  const std::set<std::string> known{"mesh_config"};
  for (const auto& [name, lines] : then.structs) {
    EXPECT_TRUE(!now.structs.contains(name) || now.structs.at(name) == lines || known.contains(name)) << name;
  }
}

TEST(Abi, CountersKeepTheirNames) {
  const Layout then = read_golden(previous::kVersion), now = read_golden(MESH_ABI_VERSION);
  ASSERT_EQ(then.counters.size(), then.maps.at("mesh_counters").rows_max);
  for (const auto& [name, row] : then.counters) {
    const Row converted = convert_row("mesh_counters", previous::kVersion, {bytes_of(row), bytes_of(std::uint64_t{7})});
    ASSERT_TRUE(now.counters.contains(name)) << name;
    EXPECT_EQ(value_of<std::uint32_t>(converted.key), now.counters.at(name)) << name;
    EXPECT_EQ(value_of<std::uint64_t>(converted.value), 7U) << name;
  }
}

}  // namespace
}  // namespace mesh::dataplane
