#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace mesh {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

enum class Mode : std::uint8_t { kIngress, kHost };
constexpr std::array<EnumName<Mode>, 2> json_names(const Mode*) {
  return {{{Mode::kIngress, "ingress"}, {Mode::kHost, "host"}}};
}

struct Port {
  std::uint16_t target = 0;
  Mode mode = Mode::kIngress;
  std::optional<Duration> delay;
  bool operator==(const Port&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Port*, Visit&& visit) {
  return visit("TargetPort", &Port::target) && visit("PublishMode", &Port::mode) && visit("Delay", &Port::delay);
}

struct Spec {
  std::string name;
  std::vector<Port> ports;
  std::map<std::string, std::string> labels;
  std::vector<bool> flags;
  std::int8_t small = 0;
  std::uint64_t large = 0;
  double cpu = 0;
  bool on = false;
  Time created{};
  Bytes data;
  IpAddress address;
  Cidr subnet;
  MacAddress mac;
  Json any;
  bool operator==(const Spec&) const = default;
};
template <class Visit>
constexpr bool json_fields(const Spec*, Visit&& visit) {
  return visit("Name", &Spec::name) && visit("Ports", &Spec::ports, kOmitEmpty) &&
         visit("Labels", &Spec::labels, kOmitEmpty) && visit("Flags", &Spec::flags, kOmitEmpty) &&
         visit("Small", &Spec::small, kOmitEmpty) && visit("Large", &Spec::large, kOmitEmpty) &&
         visit("CPU", &Spec::cpu, kOmitEmpty) && visit("On", &Spec::on, kOmitEmpty) &&
         visit("CreatedAt", &Spec::created) && visit("Data", &Spec::data, kOmitEmpty) &&
         visit("Address", &Spec::address, kOmitEmpty) && visit("Subnet", &Spec::subnet, kOmitEmpty) &&
         visit("Mac", &Spec::mac, kOmitEmpty) && visit("Any", &Spec::any, kOmitEmpty);
}

struct Outer {
  Spec spec;
};
template <class Visit>
constexpr bool json_fields(const Outer*, Visit&& visit) {
  return visit("Spec", &Outer::spec);
}

Spec full_spec() {
  Spec spec;
  spec.name = "web \"quoted\" \u00e9 \n";
  spec.ports = {{80, Mode::kHost, 5s}, {443, Mode::kIngress, std::nullopt}};
  spec.labels = {{"a.b", "c"}, {"", ""}};
  spec.flags = {true, false};
  spec.small = -128;
  spec.large = UINT64_MAX;
  spec.cpu = 1.5;
  spec.on = true;
  spec.created = Time(1767323045s + 6ns);
  spec.data = {0, 255, 1};
  spec.address = *IpAddress::parse("fd00::1");
  spec.subnet = *Cidr::parse("10.0.1.0/24");
  spec.mac = *MacAddress::parse("02:42:0a:00:00:05");
  spec.any = *parse_json(R"({"x":[1,null,"y"]})");
  return spec;
}

TEST(Json, writes_exactly) {
  EXPECT_EQ(to_text(encode(Spec{})), R"({"Name":"","CreatedAt":"0001-01-01T00:00:00Z"})");
  EXPECT_EQ(
      to_text(encode(full_spec())),
      R"({"Name":"web \"quoted\" )"
      "\u00e9"
      R"( \n","Ports":[{"TargetPort":80,"PublishMode":"host","Delay":5000000000},)"
      R"({"TargetPort":443,"PublishMode":"ingress"}],"Labels":{"":"","a.b":"c"},"Flags":[true,false],"Small":-128,)"
      R"("Large":18446744073709551615,"CPU":1.5,"On":true,"CreatedAt":"2026-01-02T03:04:05.000000006Z","Data":"AP8B",)"
      R"("Address":"fd00::1","Subnet":"10.0.1.0/24","Mac":"02:42:0a:00:00:05","Any":{"x":[1,null,"y"]}})");
}

TEST(Json, round_trips) {
  EXPECT_EQ(decode<Spec>(encode(full_spec())), full_spec());
  EXPECT_EQ(decode_text<Spec>(to_text(encode(full_spec()))), full_spec());
  EXPECT_EQ(decode_text<Spec>(to_pretty_text(encode(full_spec()))), full_spec());
  EXPECT_EQ(decode_text<Spec>(to_text(encode(Spec{}))), Spec{});
}

TEST(Json, absent_null_and_unknown_leave_the_default) {
  const auto spec =
      decode_text<Spec>(R"({"Name":null,"Unknown":{"deep":[1]},"Ports":[{}],"Address":"","CreatedAt":""})");
  ASSERT_TRUE(spec) << spec.error().message;
  Spec expected;
  expected.ports = {Port{}};
  EXPECT_EQ(*spec, expected);
}

TEST(Json, pretty_text_is_that_of_docker_inspect) {
  EXPECT_EQ(to_pretty_text(*parse_json(R"({"a":[1,{"b":2}],"c":{},"d":[],"e":1.25})")),
            "{\n    \"a\": [\n        1,\n        {\n            \"b\": 2\n        }\n    ],\n    \"c\": {},\n"
            "    \"d\": [],\n    \"e\": 1.25\n}");
}

TEST(Json, errors_carry_the_path) {
  struct Case {
    const char* text;
    const char* message;
  };
  const Case cases[] = {
      {R"({"Spec":[]})", "Spec: expected an object, got list"},
      {R"({"Spec":{"Name":5}})", "Spec.Name: expected a string, got number"},
      {R"({"Spec":{"Ports":{}}})", "Spec.Ports: expected a list, got object"},
      {R"({"Spec":{"Ports":[{},{"TargetPort":"80"}]}})", "Spec.Ports[1].TargetPort: expected a number, got string"},
      {R"({"Spec":{"Ports":[{"TargetPort":65536}]}})", "Spec.Ports[0].TargetPort: the number must be from 0 to 65535"},
      {R"({"Spec":{"Ports":[{"TargetPort":-1}]}})", "Spec.Ports[0].TargetPort: the number must be from 0 to 65535"},
      {R"({"Spec":{"Ports":[{"TargetPort":80.5}]}})", "Spec.Ports[0].TargetPort: expected a whole number"},
      {R"({"Spec":{"Ports":[{"PublishMode":"x"}]}})", "Spec.Ports[0].PublishMode: \"x\" is none of: ingress, host"},
      {R"({"Spec":{"Ports":[null]}})", "Spec.Ports[0]: expected an object, got null"},
      {R"({"Spec":{"Small":128}})", "Spec.Small: the number must be from -128 to 127"},
      {R"({"Spec":{"Small":18446744073709551615}})", "Spec.Small: the number must be from -128 to 127"},
      {R"({"Spec":{"Labels":{"k":1}}})", "Spec.Labels.k: expected a string, got number"},
      {R"({"Spec":{"Flags":[true,1]}})", "Spec.Flags[1]: expected true or false, got number"},
      {R"({"Spec":{"CPU":"1"}})", "Spec.CPU: expected a number, got string"},
      {R"({"Spec":{"CreatedAt":"yesterday"}})", "Spec.CreatedAt: \"yesterday\" is not a time"},
      {R"({"Spec":{"Data":"###"}})", "Spec.Data: base64 text"},
      {R"({"Spec":{"Subnet":"10.0.0.1/24"}})", "Spec.Subnet: \"10.0.0.1/24\" has host bits set"},
      {R"({"Spec":{"Address":"x"}})", "Spec.Address: \"x\" is not an IP address"},
      {R"("text")", "expected an object, got string"},
  };
  for (const Case& c : cases) {
    const auto outer = decode_text<Outer>(c.text);
    ASSERT_FALSE(outer) << c.text;
    EXPECT_THAT(outer.error().message, testing::StartsWith(c.message));
    EXPECT_EQ(outer.error().kind, ErrorKind::kInvalid);
  }
}

TEST(Json, syntax_errors_have_line_and_column) {
  struct Case {
    const char* text;
    const char* where;
  };
  const Case cases[] = {
      {"", "line 1, column 1"},      {"{", "line 1, column 2"},    {"{\"a\":1,\n \"b\":x}", "line 2, column 6"},
      {"[1] 2", "line 1, column 5"}, {"[1],", "line 1, column 4"}, {"nan", "line 1"},
      {"\"\xff\"", "line 1"},        {"[1,]", "line 1, column 4"}, {"01", "line 1"},
  };
  for (const Case& c : cases) {
    const auto value = parse_json(c.text);
    ASSERT_FALSE(value) << c.text;
    EXPECT_THAT(value.error().message, HasSubstr(c.where)) << c.text;
    EXPECT_EQ(value.error().kind, ErrorKind::kInvalid);
  }
  EXPECT_TRUE(parse_json(" {} \n\t"));
}

TEST(Json, size_and_depth_are_limited) {
  EXPECT_TRUE(parse_json("[1,2]", 5));
  EXPECT_THAT(parse_json("[1,2]", 4).error().message, HasSubstr("limit here is 4 bytes"));
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(parse_json(nested(64)));
  EXPECT_THAT(parse_json(nested(65)).error().message, HasSubstr("deeper than 64"));
  EXPECT_FALSE(parse_json(nested(1'000'000)));
}

}  // namespace
}  // namespace mesh
