#include <gtest/gtest.h>

#include "control/meshctl/listing.h"
#include "control/meshctl/table.h"
#include "control/meshctl/template.h"

namespace mesh::meshctl {
namespace {

Json sample() {
  return *parse_json(R"({"Name":"web","Replicas":3,"Up":true,"Down":false,"Empty":"","None":null,
    "Spec":{"Labels":{"tier":"front","a-b":"dashed"}},"Ports":[{"P":80},{"P":443}],"Words":["x","y"]})");
}

TEST(Template, RendersAsGoDoes) {
  const std::pair<const char*, const char*> table[] = {
      {"plain", "plain"},
      {"{{.Name}}", "web"},
      {"{{ .Name }}/{{.Replicas}}", "web/3"},
      {"{{.Spec.Labels.tier}}", "front"},
      {"{{.Missing}}", "<no value>"},
      {"{{.Missing.Deeper}}", "<no value>"},
      {"{{json .Words}}", R"(["x","y"])"},
      {"{{json .Name}}", R"("web")"},
      {"{{.Words}}", "[x y]"},
      {"{{.Spec.Labels}}", "map[a-b:dashed tier:front]"},
      {"{{index .Spec.Labels \"a-b\"}}", "dashed"},
      {"{{index .Words 1}}", "y"},
      {"{{(index .Words 1)}}", "y"},
      {"{{(index .Ports 1).P}}", "443"},
      {"{{(index (index .Ports 1) \"P\")}}", "443"},
      {"{{len (join .Words \"\") | print}}", "2"},
      {"{{if (eq .Name \"web\")}}same{{end}}", "same"},
      {"{{(index .Words 1}}", nullptr},
      {"{{index .Words 1)}}", nullptr},
      {"{{()}}", nullptr},
      {"{{len .Ports}} {{len .Name}}", "2 3"},
      {"{{upper .Name}} {{title .Name}} {{lower \"ABC\"}}", "WEB Web abc"},
      {"{{.Name | upper}}", "WEB"},
      {"{{join .Words \", \"}}", "x, y"},
      {"{{if .Up}}yes{{else}}no{{end}}", "yes"},
      {"{{if .Down}}yes{{else}}no{{end}}", "no"},
      {"{{if .Empty}}a{{else if .Up}}b{{else}}c{{end}}", "b"},
      {"{{if not .Empty}}n{{end}}", "n"},
      {"{{if eq .Name \"web\"}}same{{end}}", "same"},
      {"{{if ne .Replicas 3}}other{{end}}", ""},
      {"{{range .Ports}}<{{.P}}>{{end}}", "<80><443>"},
      {"{{range .None}}x{{else}}none{{end}}", "none"},
      {"{{range .Words}}{{.}}{{$.Name}} {{end}}", "xweb yweb "},
      {"{{with .Spec.Labels}}{{.tier}}{{end}}", "front"},
      {"{{println .Name}}", "web\n"},
      {"a\\tb\\n", "a\tb\n"},
      {"x {{- /* gone */ -}} y", "xy"},
      {"x  {{- .Name -}}  y", "xweby"},
      {"{{`raw`}}", "raw"},
      {"{{if .Up}}never ended", nullptr},
      {"{{end}}", nullptr},
      {"{{.Name", nullptr},
      {"{{}}", nullptr},
      {"{{nonsense .Name}}", nullptr},
      {"{{.Name .Up}}", nullptr},
      {"{{\"open}}", nullptr},
      {"{{index .Words 9}}", nullptr},
      {"{{.Name |}}", nullptr},
      {"{{if .Up}}a{{else}}b{{else}}c{{end}}", nullptr},
  };
  for (const auto& [text, expected] : table) {
    const auto parsed = Template::parse(text);
    const auto got = parsed ? parsed->render(sample()) : Result<std::string>(std::unexpected(parsed.error()));
    if (expected == nullptr) {
      EXPECT_FALSE(got) << text << " gave " << *got;
    } else {
      ASSERT_TRUE(got) << text << ": " << got.error().message;
      EXPECT_EQ(*got, expected) << text;
    }
  }
}

TEST(Table, ColumnsAreAsWideAsTheirWidestCell) {
  EXPECT_EQ(align_columns("ID\tNAME\tPORTS\nabcdefghijkl\tx\t\n"),
            "ID             NAME      PORTS\n"
            "abcdefghijkl   x         \n");
}

TEST(Table, CountsCharactersNotBytes) {
  EXPECT_EQ(display_width("aé…"), 3u);
  EXPECT_EQ(align_columns("ééééééééé\tx\naaaaaaaaa\ty\n"), "ééééééééé   x\naaaaaaaaa   y\n");
}

TEST(Table, ShortensWithAnEllipsis) {
  EXPECT_EQ(shorten("abcdef", 6), "abcdef");
  EXPECT_EQ(shorten("abcdefg", 6), "abcde…");
  EXPECT_EQ(shorten("ééééé", 3), "éé…");
}

const ListView kView{"{{.ID}}\t{{.Name}}", {{"ID", "ID"}, {"Name", "NAME"}, {"Extra", "EXTRA"}}};

TEST(Listing, FormatsAsDockerDoes) {
  const std::vector<JsonObject> rows{{{"ID", "1"}, {"Name", "a"}, {"Extra", "x"}}, {{"ID", "2"}, {"Name", "b"}}};
  EXPECT_EQ(*render_list(kView, "", rows), "ID        NAME\n1         a\n2         b\n");
  EXPECT_EQ(*render_list(kView, "table", rows), *render_list(kView, "", rows));
  EXPECT_EQ(*render_list(kView, "table {{.Name}}\\t{{.Extra}}", {rows[0]}), "NAME      EXTRA\na         x\n");
  EXPECT_EQ(*render_list(kView, "{{.Name}}={{.ID}}", rows), "a=1\nb=2\n");
  EXPECT_EQ(*render_list(kView, "json", {rows[1]}), "{\"ID\":\"2\",\"Name\":\"b\"}\n");
  EXPECT_EQ(*render_list(kView, "", {}), "ID        NAME\n");
  EXPECT_FALSE(render_list(kView, "{{.Name", rows));
}

TEST(Inspect, IsAListOrATemplateForEach) {
  const JsonArray objects{JsonObject{{"ID", "1"}}, JsonObject{{"ID", "2"}}};
  EXPECT_EQ(*render_inspect("{{.ID}}", objects), "1\n2\n");
  EXPECT_EQ(*parse_json(*render_inspect("", objects)), Json(objects));
  EXPECT_EQ(*render_inspect("", {}), "[]\n");
}

}  // namespace
}  // namespace mesh::meshctl
