// /images and /distribution (Docker Engine API, "Image", "Distribution").
#include <array>

#include <fmt/format.h>

#include "control/api/filters.h"
#include "control/api/registry_auth.h"
#include "control/api/router.h"

namespace mesh::api {
namespace {

std::int64_t unix_seconds(Time time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

bool reference_matches(const Filters& filters, const ImageSummary& image) {
  if (!filters.has("reference")) return true;
  for (const std::string& wanted : filters.values("reference")) {
    for (const std::string& tag : image.repo_tags) {
      if (tag == wanted || tag.substr(0, tag.rfind(':')) == wanted) return true;
    }
  }
  return false;
}

Result<Response> list(Context& context, const Request& request) {
  const Filters filters = TRY(Filters::parse(request, {"reference", "label", "dangling"}));
  JsonArray images;
  for (const ImageSummary& image : context.node.images()) {
    const bool dangling = image.repo_tags.empty();
    const bool shown = reference_matches(filters, image) && filters.labels("label", image.labels) &&
                       (!filters.has("dangling") || filters.exact("dangling", dangling ? "true" : "false"));
    if (!shown) continue;
    images.push_back(JsonObject{{"Id", image.id},
                                {"ParentId", ""},
                                {"RepoTags", encode(image.repo_tags)},
                                {"RepoDigests", encode(image.repo_digests)},
                                {"Created", unix_seconds(image.created)},
                                {"Size", image.size_bytes},
                                {"SharedSize", -1},
                                {"Labels", encode(image.labels)},
                                {"Containers", -1}});
  }
  return json_response(images);
}

Result<Response> inspect(Context& context, const Request& request) {
  const ImageDetail image = TRY(context.node.image(request.capture("name")));
  return json_response(JsonObject{{"Id", image.summary.id},
                                  {"RepoTags", encode(image.summary.repo_tags)},
                                  {"RepoDigests", encode(image.summary.repo_digests)},
                                  {"Created", format_time(image.summary.created)},
                                  {"Size", image.summary.size_bytes},
                                  {"Architecture", image.architecture},
                                  {"Os", image.os},
                                  {"Author", image.author},
                                  {"Config", image.config},
                                  {"RootFS", JsonObject{{"Type", "layers"}, {"Layers", encode(image.layers)}}}});
}

// One line of the stream, as `docker pull` reads it.
std::string progress_line(const PullProgress& progress) {
  JsonObject line{{"status", progress.status}};
  if (!progress.id.empty()) line["id"] = progress.id;
  if (progress.total > 0) {
    line["progressDetail"] = JsonObject{{"current", progress.current}, {"total", progress.total}};
  }
  return to_text(line) + "\r\n";
}
std::string error_line(const Error& error) {
  return to_text(JsonObject{{"errorDetail", JsonObject{{"message", error.message}}}, {"error", error.message}}) +
         "\r\n";
}

// A pull's answer: a stream from the first progress on; an error before that is an ordinary answer.
struct PullAnswer {
  ResponderPtr responder;
  bool streaming = false;
  bool digest_told = false;  // by the puller's own progress
  bool layers_came = false;

  void progress(const PullProgress& progress) {
    digest_told = digest_told || progress.status.starts_with("Digest:");
    layers_came = layers_came || progress.status == "Pull complete" || progress.status == "Download complete";
    line(progress_line(progress));
  }
  void line(std::string text) {
    if (!std::exchange(streaming, true)) responder->begin({200, {{"Content-Type", "application/json"}}, {}});
    responder->write(std::move(text));
  }
};

void pull(Context& context, const Request& request, const ResponderPtr& responder) {
  std::string reference = request.parameter("fromImage");
  if (reference.empty()) {
    return responder->send(error_response(
        {ErrorKind::kUnsupported, "only pulling from a registry is possible: parameter fromImage is missing"}));
  }
  if (const std::string& tag = request.parameter("tag"); !tag.empty()) {
    reference += (tag.find(':') == std::string::npos ? ":" : "@") + tag;  // a digest is "sha256:…"
  }
  const Result<RegistryAuth> auth = registry_auth(request);
  if (!auth) return responder->send(error_response(auth.error()));
  auto answer = std::make_shared<PullAnswer>(PullAnswer{responder});
  context.node.pull_image(
      reference, *auth, [answer](const PullProgress& progress) { answer->progress(progress); },
      [answer, reference](const Result<std::string>& digest) {
        if (!digest && !answer->streaming) return answer->responder->send(error_response(digest.error()));
        if (!digest) {
          answer->line(error_line(digest.error()));
        } else {
          if (!answer->digest_told) answer->line(progress_line({"", "Digest: " + *digest}));
          const char* what = answer->layers_came ? "Downloaded newer image" : "Image is up to date";
          answer->line(progress_line({"", fmt::format("Status: {} for {}", what, reference)}));
        }
        answer->responder->end();
      });
}

void distribution(Context& context, const Request& request, const ResponderPtr& responder) {
  const Result<RegistryAuth> auth = registry_auth(request);
  if (!auth) return responder->send(error_response(auth.error()));
  context.node.resolve_image(request.capture("name"), *auth, [responder](const Result<RemoteImage>& image) {
    if (!image) return responder->send(error_response(image.error()));
    JsonArray platforms;
    for (const RemoteImage::Platform& platform : image->platforms) {
      JsonObject row{{"architecture", platform.architecture}, {"os", platform.os}};
      if (!platform.variant.empty()) row["variant"] = platform.variant;
      platforms.push_back(std::move(row));
    }
    responder->send(json_response(JsonObject{
        {"Descriptor",
         JsonObject{{"mediaType", image->media_type}, {"digest", image->digest}, {"size", image->size_bytes}}},
        {"Platforms", std::move(platforms)}}));
  });
}

constexpr std::array kRoutes{
    Route{"GET", "/images/json", &list},
    Route{"POST", "/images/create", nullptr, &pull},
    Route{"GET", "/images/{name*}/json", &inspect},
    Route{"GET", "/distribution/{name*}/json", nullptr, &distribution},
};

}  // namespace

std::span<const Route> image_routes() { return kRoutes; }

}  // namespace mesh::api
