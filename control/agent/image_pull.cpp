#include "control/agent/image_pull.h"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/process.h"
#include "base/text.h"
#include "control/agent/image_layer.h"
#include "control/agent/sha256.h"

namespace mesh::agent {
namespace {

constexpr Duration kInspectTimeout = std::chrono::seconds(30);

// A directory of one request below tmp/, removed with everything in it.
class Workspace {
 public:
  static Result<Workspace> make(const ImagePaths& paths) {
    Workspace workspace(paths.tmp() + "/" + make_hex_id(8));
    TRY(make_directories(workspace.path_, 0700));
    return workspace;
  }
  Workspace(Workspace&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  Workspace& operator=(Workspace&&) = delete;
  ~Workspace() {
    if (!path_.empty()) (void)remove_tree(path_);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit Workspace(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// One place to look for the image: the registry itself or its mirror.
struct Source {
  std::string registry;  // as the messages name it
  std::string host;      // in the docker:// reference
  bool plain_http = false;
};

std::vector<Source> sources_of(const ImageReference& reference, const RegistryAccess& access) {
  std::vector<Source> sources;
  if (reference.domain == "docker.io" && !access.mirror.empty()) {
    // "https://": with a certificate that is good; otherwise any, or none.
    const bool secure = access.mirror.starts_with("https://");
    const std::size_t scheme = access.mirror.find("://");
    const std::string host = scheme == std::string::npos ? access.mirror : access.mirror.substr(scheme + 3);
    sources.push_back({fmt::format("{} (mirror of docker.io)", access.mirror), host, !secure});
  }
  // As docker: a registry on this host's loopback may be plain HTTP.
  const bool local = reference.domain.starts_with("localhost") || reference.domain.starts_with("127.");
  sources.push_back({reference.domain, reference.domain, local});
  return sources;
}

class Skopeo {
 public:
  static Result<Skopeo> make(const RegistryAccess& access, const Workspace& workspace,
                             const ImageReference& reference) {
    Skopeo skopeo;
    skopeo.home_ = workspace.path();
    skopeo.policy_ = workspace.path() + "/policy.json";
    // Digests are checked by us; signatures are not asked for, as with docker.
    TRY(write_file(skopeo.policy_, R"({"default":[{"type":"insecureAcceptAnything"}]})"));
    if (!access.auth.empty()) {
      skopeo.auth_file_ = workspace.path() + "/auth.json";
      TRY(write_file(skopeo.auth_file_, auth_document(access.auth, reference), 0600));
    } else if (!access.auth_file.empty() && ::access(access.auth_file.c_str(), R_OK) == 0) {
      skopeo.auth_file_ = access.auth_file;
    }
    return skopeo;
  }

  // `verb` with the source's options, then `rest`.
  [[nodiscard]] Result<std::string> run(const Source& source, const ImageReference& reference,
                                        const std::vector<std::string>& verb, const std::vector<std::string>& rest,
                                        std::string_view prefix, Duration timeout) const {
    ProcessSpec spec;
    spec.argv = {"skopeo", "--policy", policy_};
    spec.argv.insert(spec.argv.end(), verb.begin(), verb.end());
    if (source.plain_http) spec.argv.push_back(fmt::format("--{}tls-verify=false", prefix));
    if (!auth_file_.empty() && source.host == reference.domain) {
      spec.argv.push_back(fmt::format("--{}authfile", prefix));
      spec.argv.push_back(auth_file_);
    } else {
      spec.argv.push_back(fmt::format("--{}no-creds", prefix));
    }
    ImageReference there = reference;
    there.domain = source.host;
    spec.argv.push_back("docker://" + there.transport_name());
    spec.argv.insert(spec.argv.end(), rest.begin(), rest.end());
    spec.timeout = timeout;
    // skopeo notes which blobs it saw, for root in /var/lib/containers, where other programs' notes are and ours would
    // stay. Nobody's are in the data home. (containers/image, pkg/blobinfocache/default.go)
    spec.extra_environment = {"XDG_DATA_HOME=" + home_, "_CONTAINERS_ROOTLESS_UID=65534"};
    const ProcessOutcome outcome =
        TRY_IN(fmt::format("pull \"{}\" from {}", reference.familiar(), source.registry), run_process(spec));
    if (outcome.exit_status != 0) return std::unexpected(registry_error(reference, source.registry, outcome.err));
    if (outcome.truncated) return fail(ErrorKind::kExhausted, "the answer of " + source.registry + " is too long");
    return outcome.out;
  }

 private:
  static std::string auth_document(const api::RegistryAuth& auth, const ImageReference& reference) {
    JsonObject entry;
    const std::string pair = auth.username + ":" + auth.password;
    if (!auth.username.empty()) entry["auth"] = base64_encode(as_bytes(pair));
    if (!auth.identity_token.empty()) entry["identitytoken"] = auth.identity_token;
    JsonObject auths;
    auths[reference.domain] = std::move(entry);
    JsonObject document;
    document["auths"] = std::move(auths);
    return to_text(document);
  }

  std::string home_;
  std::string policy_;
  std::string auth_file_;
};

struct Found {
  Source source;
  std::string text;  // manifest or index
  std::string digest;
};

// Asks the mirror first, then the registry. When both fail the mirror's answer counts if it was an answer.
Result<Found> find_remote(const Skopeo& skopeo, const ImageReference& reference, const RegistryAccess& access) {
  std::optional<Error> first;
  for (const Source& source : sources_of(reference, access)) {
    auto text = skopeo.run(source, reference, {"inspect", "--raw"}, {}, "", kInspectTimeout);
    if (text) {
      const std::string digest = sha256_of(*text);
      if (!reference.digest.empty() && digest != reference.digest) {
        return fail(ErrorKind::kInvalid,
                    fmt::format("{} answered {} for \"{}\"", source.registry, digest, reference.familiar()));
      }
      return Found{source, std::move(*text), digest};
    }
    Error error = std::move(text).error();
    if (!first) {
      first = std::move(error);
    } else if (error.kind != ErrorKind::kUnavailable || first->kind == ErrorKind::kUnavailable) {
      error.message += "; before that: " + first->message;
      return std::unexpected(std::move(error));
    } else {
      first->message += "; and " + error.message;
    }
  }
  return std::unexpected(std::move(*first));
}

std::string text_of(const JsonObject& object, const char* key) {
  const Json* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

bool is_index(const Json& document) { return document.is_object() && document.as_object().contains("manifests"); }

// The manifest that skopeo put into the layout: the only entry of its index.json.
Result<std::string> copied_manifest(const std::string& layout) {
  const Json index = TRY(parse_json(TRY(read_file(layout + "/index.json"))));
  const Json* manifests = index.is_object() ? index.as_object().if_contains("manifests") : nullptr;
  if (manifests != nullptr && manifests->is_array() && manifests->as_array().size() == 1) {
    const Json& entry = manifests->as_array()[0];
    if (entry.is_object()) {
      std::string digest = text_of(entry.as_object(), "digest");
      if (is_digest(digest)) return digest;
    }
  }
  return fail(ErrorKind::kInternal, "skopeo left no manifest in " + layout);
}

std::string short_digest(const std::string& digest) { return digest.substr(7, 12); }

Status sync_file_system(const std::string& path) {
  const Fd directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || syncfs(directory.get()) != 0) return fail_errno("sync the file system of " + path, errno);
  return {};
}

// Unpacks one layer unless it is there; returns the bytes of its files.
Result<std::uint64_t> place_layer(const ImagePaths& paths, const Descriptor& layer, const std::string& diff_id) {
  const std::string place = paths.layer(diff_id);
  const std::string size_file = place + ".size";
  if (access(place.c_str(), F_OK) == 0) {
    const auto size = read_file(size_file);
    return size ? parse_number<std::uint64_t>(trim(*size)).value_or(0) : 0;
  }
  const Workspace workspace = TRY(Workspace::make(paths));
  const std::string target = workspace.path() + "/layer";
  TRY(make_directories(target, 0755));
  auto unpacked = unpack_layer(paths.blob(layer.digest), layer.digest, TRY(layer_packing(layer.media_type)), target);
  if (unpacked && unpacked->diff_id != diff_id) {
    unpacked = fail(
        ErrorKind::kInvalid,
        fmt::format("it unpacks to {}, the image's config says {}; the layer is corrupt", unpacked->diff_id, diff_id));
  }
  if (!unpacked) {
    (void)remove_tree(paths.blob(layer.digest));
    Error error = std::move(unpacked).error().in("layer " + layer.digest);
    if (error.kind == ErrorKind::kInvalid) error.message += "; pull again; if it stays so, push the image again";
    return std::unexpected(std::move(error));
  }
  // A layer that is there is trusted: its files, and the blobs of this image, are on the disk before its name is.
  TRY(sync_file_system(workspace.path()));
  TRY(write_file(size_file, std::to_string(unpacked->bytes)));
  // Another pull may have been faster with the same layer; both are the same.
  if (rename(target.c_str(), place.c_str()) != 0 && errno != ENOTEMPTY && errno != EEXIST) {
    return fail_errno("move layer to " + place, errno);
  }
  return unpacked->bytes;
}

Result<PulledImage> unpack_image(const ImagePaths& paths, const std::string& manifest_digest,
                                 const PullReport& report) {
  const Manifest manifest = TRY(read_manifest(paths, manifest_digest));
  const ImageConfig config = TRY(read_image_config(paths, manifest));
  if (!config.os.empty() && config.os != "linux") {
    return fail(ErrorKind::kUnsupported, fmt::format("the image is made for {}, this host runs linux", config.os));
  }
  if (!config.architecture.empty() && config.architecture != host_architecture()) {
    return fail(ErrorKind::kUnsupported,
                fmt::format("the image is made for {}, this host is {}", config.architecture, host_architecture()));
  }
  PulledImage pulled;
  pulled.id = manifest.config.digest;
  pulled.manifest_digest = manifest_digest;
  for (std::size_t i = 0; i < manifest.layers.size(); ++i) {
    const Descriptor& layer = manifest.layers[i];
    report({short_digest(layer.digest), "Extracting", 0, layer.size});
    pulled.size_bytes += TRY(place_layer(paths, layer, config.rootfs.diff_ids[i]));
    report({short_digest(layer.digest), "Pull complete", layer.size, layer.size});
  }
  return pulled;
}

// Everything of the manifest is here already: no copy needed.
bool is_complete(const ImagePaths& paths, const std::string& manifest_digest) {
  if (access(paths.blob(manifest_digest).c_str(), F_OK) != 0) return false;
  const auto manifest = read_manifest(paths, manifest_digest);
  if (!manifest) return false;
  const auto config = read_image_config(paths, *manifest);
  return config && std::ranges::all_of(config->rootfs.diff_ids, [&](const std::string& diff_id) {
           return access(paths.layer(diff_id).c_str(), F_OK) == 0;
         });
}

void report_layers(const Json& document, const PullReport& report) {
  if (is_index(document)) return;
  const auto manifest = decode<Manifest>(document);
  if (!manifest) return;
  for (const Descriptor& layer : manifest->layers) {
    if (is_digest(layer.digest)) report({short_digest(layer.digest), "Pulling fs layer", 0, layer.size});
  }
}

}  // namespace

Error registry_error(const ImageReference& reference, std::string_view registry, std::string_view stderr_text) {
  struct Row {
    std::string_view text;
    ErrorKind kind;
    std::string_view advice;
  };
  // In order: an answer of the registry counts more than the words around it.
  static constexpr std::array kRows = {
      Row{"manifest unknown", ErrorKind::kNotFound, ""},
      Row{"name unknown", ErrorKind::kNotFound, ""},
      Row{"repository name not known", ErrorKind::kNotFound, ""},
      Row{"StatusCode: 404", ErrorKind::kNotFound, ""},
      Row{"unauthorized", ErrorKind::kUnauthorized,
          "log in, or check the name: a private image looks like a missing one"},
      Row{"authentication required", ErrorKind::kUnauthorized, "log in to the registry"},
      Row{"invalid username/password", ErrorKind::kUnauthorized, "check the credentials"},
      Row{"denied", ErrorKind::kUnauthorized, "the repository does not exist or needs a login"},
      Row{"no space left on device", ErrorKind::kExhausted, "free disk space or remove unused images"},
      Row{"no image found in manifest list", ErrorKind::kUnsupported,
          "the image is not made for this machine's platform"},
      Row{"no image found in image index", ErrorKind::kUnsupported,
          "the image is not made for this machine's platform"},
      Row{"igest did not match", ErrorKind::kInvalid,
          "the registry sent a corrupt blob: pull again; if it stays so, push the image again"},
      Row{"does not match", ErrorKind::kInvalid,
          "the registry sent something else than its digest says: pull again; if it stays so, push the image again"},
      Row{"unexpected EOF", ErrorKind::kUnavailable, "the registry ended the transfer early; try again"},
      Row{"connection refused", ErrorKind::kUnavailable, "is the registry running, and the address right?"},
      Row{"no such host", ErrorKind::kUnavailable, "the registry's name does not resolve"},
      Row{"server gave HTTP response to HTTPS", ErrorKind::kUnavailable, "the registry speaks plain HTTP"},
      Row{"x509", ErrorKind::kUnavailable, "the registry's certificate is not trusted"},
      Row{"dial tcp", ErrorKind::kUnavailable, "the registry cannot be reached from this host"},
      Row{"pinging container registry", ErrorKind::kUnavailable, "the registry cannot be reached from this host"},
      Row{"timeout", ErrorKind::kUnavailable, "the registry did not answer in time"},
  };
  // skopeo logs one line: … level=fatal msg="…"; the first cause stands at its end.
  std::string_view line = trim(stderr_text);
  if (const auto last = line.rfind("level=fatal"); last != std::string_view::npos) line = line.substr(last);
  if (const auto msg = line.find("msg="); msg != std::string_view::npos) line = line.substr(msg + 4);
  std::string why(line);
  if (why.size() >= 2 && why.front() == '"' && why.back() == '"') why = why.substr(1, why.size() - 2);
  std::erase(why, '\\');
  for (const Row& row : kRows) {
    if (line.find(row.text) == std::string_view::npos) continue;
    if (row.kind == ErrorKind::kNotFound) {
      return {row.kind,
              fmt::format("No such image: {} (registry {}: {}); check name and tag, and that it was pushed there",
                          reference.familiar(), registry, row.text)};
    }
    return {row.kind, fmt::format("pull of \"{}\" from registry {} failed: {} ({})", reference.familiar(), registry,
                                  why, row.advice)};
  }
  return {ErrorKind::kInternal, fmt::format("pull of \"{}\" from registry {} failed: {}", reference.familiar(),
                                            registry, why.empty() ? "skopeo gave no reason" : why)};
}

Result<api::RemoteImage> resolve_remote(const ImageReference& reference, const RegistryAccess& access,
                                        const ImagePaths& paths) {
  const Workspace workspace = TRY(Workspace::make(paths));
  const Skopeo skopeo = TRY(Skopeo::make(access, workspace, reference));
  const Found found = TRY(find_remote(skopeo, reference, access));
  const Json document = TRY_IN("manifest of " + reference.familiar(), parse_json(found.text, kManifestBytesMax));
  if (!document.is_object()) return fail(ErrorKind::kInvalid, "manifest of " + reference.familiar() + ": no object");
  api::RemoteImage image;
  image.digest = found.digest;
  image.size_bytes = found.text.size();
  image.media_type = text_of(document.as_object(), "mediaType");
  if (image.media_type.empty()) {
    image.media_type =
        is_index(document) ? "application/vnd.oci.image.index.v1+json" : "application/vnd.oci.image.manifest.v1+json";
  }
  const auto add_platform = [&](const JsonObject& platform) {
    image.platforms.push_back(
        {text_of(platform, "architecture"), text_of(platform, "os"), text_of(platform, "variant")});
  };
  if (is_index(document)) {
    const Json& manifests = document.as_object().at("manifests");
    if (!manifests.is_array()) return image;
    for (const Json& entry : manifests.as_array()) {
      const Json* platform = entry.is_object() ? entry.as_object().if_contains("platform") : nullptr;
      if (platform != nullptr && platform->is_object()) add_platform(platform->as_object());
    }
    return image;
  }
  const std::string config =
      TRY(skopeo.run(found.source, reference, {"inspect", "--config", "--raw"}, {}, "", kInspectTimeout));
  const Json value = TRY_IN("config of " + reference.familiar(), parse_json(config, kManifestBytesMax));
  if (value.is_object()) add_platform(value.as_object());
  return image;
}

Result<PulledImage> pull_remote(const ImageReference& reference, const RegistryAccess& access, const ImagePaths& paths,
                                const PullReport& report) {
  const Workspace workspace = TRY(Workspace::make(paths));
  const Skopeo skopeo = TRY(Skopeo::make(access, workspace, reference));
  report({reference.tag, "Pulling from " + reference.repository, 0, 0});
  const Found found = TRY(find_remote(skopeo, reference, access));
  const Json document = TRY_IN("manifest of " + reference.familiar(), parse_json(found.text, kManifestBytesMax));

  std::string manifest_digest = found.digest;
  if (is_index(document) || !is_complete(paths, found.digest)) {
    report_layers(document, report);
    // The digest, not the tag: the tag may move between the two questions.
    ImageReference pinned = reference;
    pinned.digest = found.digest;
    const std::string layout = workspace.path() + "/layout";
    TRY(skopeo.run(found.source, pinned,
                   {"copy", "--quiet", "--preserve-digests", "--dest-shared-blob-dir", paths.blobs()},
                   {"oci:" + layout + ":image"}, "src-", access.timeout));
    manifest_digest = TRY(copied_manifest(layout));
  }
  auto pulled = unpack_image(paths, manifest_digest, report);
  if (!pulled) {
    return std::unexpected(std::move(pulled).error().in(fmt::format("image \"{}\"", reference.familiar())));
  }
  pulled->digest = found.digest;
  report({"", "Digest: " + found.digest, 0, 0});
  return *pulled;
}

}  // namespace mesh::agent
