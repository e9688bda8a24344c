#include <gtest/gtest.h>

#include "control/api/filters.h"

namespace mesh::api {
namespace {

Result<Filters> parse(const std::string& text) {
  Request request;
  request.query["filters"] = {text};
  return Filters::parse(request, {"name", "label", "id"});
}

TEST(Filters, BothOfDockersForms) {
  for (const std::string text : {R"({"name":{"web":true,"db":true}})", R"({"name":["web","db"]})"}) {
    const Result<Filters> filters = parse(text);
    ASSERT_TRUE(filters) << filters.error().message;
    EXPECT_EQ(filters->values("name"), (std::set<std::string>{"db", "web"}));
    EXPECT_TRUE(filters->exact("name", "web"));
    EXPECT_FALSE(filters->exact("name", "we"));
    EXPECT_TRUE(filters->prefix("name", "web2"));
    EXPECT_FALSE(filters->prefix("name", "we"));
    EXPECT_TRUE(filters->substring("name", "my-web-1"));
    EXPECT_TRUE(filters->exact("id", "anything")) << "an absent key excludes nothing";
    EXPECT_FALSE(filters->has("id"));
  }
}

TEST(Filters, EmptyOnesExcludeNothing) {
  for (const std::string text : {"", "{}", "null", R"({"name":{}})", R"({"name":[]})", R"({"name":{"web":false}})"}) {
    const Result<Filters> filters = parse(text);
    ASSERT_TRUE(filters) << text;
    EXPECT_TRUE(filters->exact("name", "x")) << text;
  }
}

TEST(Filters, Labels) {
  const struct {
    std::string wanted;
    model::Labels labels;
    bool matches;
  } cases[] = {{"a", {{"a", "1"}}, true},       {"a=1", {{"a", "1"}}, true}, {"a=2", {{"a", "1"}}, false},
               {"b", {{"a", "1"}}, false},      {"a=", {{"a", ""}}, true},   {"a=", {{"a", "1"}}, false},
               {"a=x=y", {{"a", "x=y"}}, true}, {"", {{"a", "1"}}, false}};
  for (const auto& test : cases) {
    const Result<Filters> filters = parse(to_text(JsonObject{{"label", JsonArray{Json(test.wanted)}}}));
    ASSERT_TRUE(filters);
    EXPECT_EQ(filters->labels("label", test.labels), test.matches) << test.wanted;
  }
  const Result<Filters> both = parse(R"({"label":["a","b"]})");
  ASSERT_TRUE(both);
  EXPECT_FALSE(both->labels("label", {{"a", ""}})) << "all labels must be there";
  EXPECT_TRUE(both->labels("label", {{"a", ""}, {"b", ""}}));
}

TEST(Filters, WhatIsNoFilterIsRefusedByName) {
  const struct {
    std::string text;
    std::string names;
  } cases[] = {{"x", "filters"},
               {"[]", "filters"},
               {"7", "filters"},
               {R"({"name":7})", "filters.name"},
               {R"({"name":[7]})", "filters.name"},
               {R"({"name":{"web":"yes"}})", "filters.name"},
               {R"({"colour":["red"]})", "invalid filter 'colour'"}};
  for (const auto& test : cases) {
    const Result<Filters> filters = parse(test.text);
    ASSERT_FALSE(filters) << test.text;
    EXPECT_EQ(filters.error().kind, ErrorKind::kInvalid);
    EXPECT_NE(filters.error().message.find(test.names), std::string::npos) << filters.error().message;
  }
}

TEST(Request, TargetsAreTakenApart) {
  Request request;
  ASSERT_TRUE(set_target(request, "/services/a%20b?status=1&x=a+b%2Bc&flag&x=2&=&"));
  EXPECT_EQ(request.path, "/services/a b");
  EXPECT_TRUE(request.flag("status"));
  EXPECT_EQ(request.parameter("x"), "a b+c");
  EXPECT_EQ(request.query["x"].size(), 2U);
  EXPECT_FALSE(request.flag("flag"));
  EXPECT_FALSE(request.flag("absent"));
  for (const char* bad : {"/a%", "/a%1", "/a%zz", "/?q=%g0", "/a%00b"}) {
    EXPECT_FALSE(set_target(request, bad)) << bad;
  }
}

TEST(Request, FlagsAsDockerReadsThem) {
  const struct {
    std::string text;
    bool value;
  } cases[] = {{"1", true},  {"true", true}, {"True", true},   {"yes", true},   {"x", true},   {"", false},
               {"0", false}, {"no", false},  {"False", false}, {"none", false}, {" 0 ", false}};
  for (const auto& test : cases) {
    Request request;
    request.query["f"] = {test.text};
    EXPECT_EQ(request.flag("f"), test.value) << test.text;
  }
}

TEST(Request, Numbers) {
  Request request;
  request.query["version"] = {"42"};
  EXPECT_EQ(request.number("version").value(), 42U);
  EXPECT_EQ(request.number("absent").value(), std::nullopt);
  for (const char* bad : {"x", "-1", "1.5", "99999999999999999999999", " 1"}) {
    request.query["version"] = {bad};
    ASSERT_FALSE(request.number("version")) << bad;
    EXPECT_NE(request.number("version").error().message.find("version"), std::string::npos);
  }
}

}  // namespace
}  // namespace mesh::api
