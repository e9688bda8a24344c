// meshctl image …
#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "control/meshctl/calls.h"
#include "control/meshctl/cli.h"
#include "control/meshctl/parse.h"
#include "control/meshctl/pull_progress.h"
#include "control/meshctl/rows.h"

namespace mesh::meshctl {
namespace {

struct PullFlags {
  std::string image;
  bool quiet = false;
};

struct InspectFlags {
  std::vector<std::string> names;
  std::string format;
};

Status pull(const Client& client, const PullFlags& flags) {
  const auto [repository, tag] = split_reference(flags.image);
  const auto target = path("/images/create") +
                      fmt::format("?fromImage={}&tag={}", api::encode_query(repository), api::encode_query(tag));
  PullProgress progress;
  Status failed;
  const auto answer = TRY(client.stream("POST", target, {}, {}, [&](std::string_view line) {
    const auto text = progress.take(line);
    if (!text) {
      failed = std::unexpected(text.error());
      return false;
    }
    if (!flags.quiet) {
      fmt::print("{}", *text);
      std::fflush(stdout);
    }
    return true;
  }));
  if (answer.status >= 300) return std::unexpected(api::error_of(answer));
  TRY(failed);
  if (flags.quiet) fmt::print("{}\n", flags.image);
  return {};
}

Status list(const Client& client, const ListFlags& flags) {
  const auto filters = TRY(parse_filters(flags.filters));
  const Json images = TRY(client.get(filtered("/images/json", filters)));
  const auto rows = TRY(image_rows(images, {!flags.no_trunc, true, wall_now()}));
  const std::string_view format = flags.quiet ? "{{.ID}}" : std::string_view(flags.format);
  fmt::print("{}", TRY(render_list(kImageView, format, rows)));
  return {};
}

Status inspect(const Client& client, const InspectFlags& flags) {
  JsonArray objects;
  const auto status = for_each_name(flags.names, [&](const std::string& name) -> Status {
    objects.push_back(TRY(client.get(object_path("images", name, "json"))));
    return {};
  });
  fmt::print("{}", TRY(render_inspect(flags.format, objects)));
  return status;
}

}  // namespace

void add_image_commands(CLI::App& app, Cli& cli) {
  CLI::App* group = add_group(app, "image", "Images on this host");

  auto pulled = std::make_shared<PullFlags>();
  CLI::App* command = group->add_subcommand("pull", "Bring an image from its registry to this host");
  command->add_option("IMAGE", pulled->image, "NAME[:TAG|@DIGEST]")->required();
  command->add_flag("-q,--quiet", pulled->quiet, "no progress");
  set_action(*command, cli, [pulled](const Client& client) { return pull(client, *pulled); });

  auto ls = std::make_shared<ListFlags>();
  command = group->add_subcommand("ls", "List images")->alias("list");
  add_list_flags(*command, *ls);
  set_action(*command, cli, [ls](const Client& client) { return list(client, *ls); });

  auto shown = std::make_shared<InspectFlags>();
  command = group->add_subcommand("inspect", "Show images in full");
  add_names(*command, "IMAGE", shown->names, "name or id");
  command->add_option("-f,--format", shown->format, "Go template");
  set_action(*command, cli, [shown](const Client& client) { return inspect(client, *shown); });
}

}  // namespace mesh::meshctl
