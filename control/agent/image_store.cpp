#include "control/agent/image_store.h"

#include <algorithm>
#include <set>
#include <unistd.h>

#include <fmt/format.h>

#include "base/file.h"
#include "base/log.h"
#include "control/agent/sha256.h"

namespace mesh::agent {
namespace {

constexpr std::size_t kIdPrefixMin = 4;

Result<std::string> read_blob(const ImagePaths& paths, const std::string& digest) {
  std::string text = TRY(read_file(paths.blob(digest), kManifestBytesMax));
  if (const std::string got = sha256_of(text); got != digest) {
    return fail(ErrorKind::kInvalid,
                fmt::format("{} has digest {}; the file is corrupt, pull the image again", paths.blob(digest), got));
  }
  return text;
}

// Drops what another image has under this name, and tells whether the image has no name left.
void take_name(std::map<std::string, StoredImage>& images, const std::string& tag) {
  for (auto& [id, image] : images) std::erase(image.tags, tag);
}

bool contains(const std::vector<std::string>& list, const std::string& value) {
  return std::ranges::find(list, value) != list.end();
}

void add_once(std::vector<std::string>& list, const std::string& value) {
  if (!contains(list, value)) list.push_back(value);
}

}  // namespace

std::string ImagePaths::blob(const std::string& digest) const {
  return blobs() + "/sha256/" + digest.substr(digest.find(':') + 1);
}

std::string ImagePaths::layer_key(const std::string& diff_id) { return diff_id.substr(diff_id.find(':') + 1, 24); }

Result<Manifest> read_manifest(const ImagePaths& paths, const std::string& digest) {
  return decode_manifest(TRY(read_blob(paths, digest)));
}

Result<ImageConfig> read_image_config(const ImagePaths& paths, const Manifest& manifest) {
  return decode_image_config(TRY(read_blob(paths, manifest.config.digest)), manifest);
}

namespace {

Status load_image(const ImagePaths& paths, StoredImage& image) {
  const Manifest manifest = TRY(read_manifest(paths, image.manifest_digest));
  image.config = TRY(read_image_config(paths, manifest));
  for (const std::string& diff_id : image.config.rootfs.diff_ids) {
    if (access(paths.layer(diff_id).c_str(), F_OK) != 0) {
      return fail(ErrorKind::kNotFound, "layer " + diff_id + " is missing");
    }
  }
  return {};
}

}  // namespace

Result<ImageStore> ImageStore::open(const std::string& root) {
  ImageStore store(ImagePaths{root});
  TRY(remove_tree(store.paths_.tmp()));
  for (const std::string& directory : {store.paths_.blobs() + "/sha256", store.paths_.layers(), store.paths_.tmp()}) {
    TRY(make_directories(directory, 0700));
  }
  if (access(store.paths_.index().c_str(), F_OK) != 0) return store;
  const std::string text = TRY(read_file(store.paths_.index()));
  const Json value = TRY_IN(store.paths_.index(), parse_json(text));
  for (StoredImage& image : TRY_IN(store.paths_.index(), decode<std::vector<StoredImage>>(value))) {
    if (Status loaded = load_image(store.paths_, image); !loaded) {
      spdlog::warn("image dropped from the store id={} reason=\"{}\"", image.id, loaded.error().message);
      continue;
    }
    store.images_.emplace(image.id, std::move(image));
  }
  return store;
}

const StoredImage* ImageStore::find(const ImageReference& reference) const {
  for (const auto& [id, image] : images_) {
    const bool match = reference.digest.empty() ? contains(image.tags, reference.name() + ":" + reference.tag)
                                                : contains(image.digests, reference.name() + "@" + reference.digest);
    if (match) return &image;
  }
  return nullptr;
}

Result<const StoredImage*> ImageStore::find(std::string_view name) const {
  if (auto reference = ImageReference::parse(name); reference) {
    if (const StoredImage* image = find(*reference); image != nullptr) return image;
  }
  std::string_view hex = name;
  if (hex.starts_with("sha256:")) hex.remove_prefix(7);
  const StoredImage* found = nullptr;
  const bool is_hex = hex.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (hex.size() >= kIdPrefixMin && is_hex) {
    for (const auto& [id, image] : images_) {
      if (!std::string_view(id).substr(7).starts_with(hex)) continue;
      if (found != nullptr) return fail(ErrorKind::kInvalid, fmt::format("image id \"{}\" is ambiguous", name));
      found = &image;
    }
  }
  if (found == nullptr) return fail(ErrorKind::kNotFound, fmt::format("No such image: {}", name));
  return found;
}

Status ImageStore::add(const ImageReference& reference, const PulledImage& pulled) {
  auto [at, added] = images_.try_emplace(pulled.id);
  StoredImage& image = at->second;
  if (added) {
    image.id = pulled.id;
    image.size_bytes = pulled.size_bytes;
  }
  image.manifest_digest = pulled.manifest_digest;
  if (Status loaded = load_image(paths_, image); !loaded) {
    if (added) images_.erase(at);
    return loaded;
  }
  // A reference with a digest pins the content and moves no tag, as with docker.
  if (reference.digest.empty()) {
    const std::string tag = reference.name() + ":" + reference.tag;
    take_name(images_, tag);
    image.tags.push_back(tag);
  }
  add_once(image.digests, reference.name() + "@" + pulled.digest);
  return save();
}

Status ImageStore::remove(std::string_view name) {
  const StoredImage* image = TRY(find(name));
  images_.erase(std::string(image->id));
  TRY(save());
  return collect();
}

Status ImageStore::collect() {
  std::set<std::string> blobs, layers;
  for (const auto& [id, image] : images_) {
    const Manifest manifest = TRY(read_manifest(paths_, image.manifest_digest));
    const auto keep = [&](const std::string& digest) { blobs.insert(digest.substr(7)); };
    keep(image.manifest_digest);
    keep(manifest.config.digest);
    for (const Descriptor& layer : manifest.layers) keep(layer.digest);
    for (const std::string& diff_id : image.config.rootfs.diff_ids) {
      layers.insert(ImagePaths::layer_key(diff_id));
      layers.insert(ImagePaths::layer_key(diff_id) + ".size");
    }
  }
  for (const std::string& name : TRY(list_directory(paths_.blobs() + "/sha256"))) {
    if (!blobs.contains(name)) TRY(remove_tree(paths_.blobs() + "/sha256/" + name));
  }
  for (const std::string& name : TRY(list_directory(paths_.layers()))) {
    if (!layers.contains(name)) TRY(remove_tree(paths_.layers() + "/" + name));
  }
  return {};
}

Status ImageStore::save() const {
  std::vector<StoredImage> list;
  for (const auto& [id, image] : images_) list.push_back(image);
  return write_file(paths_.index(), to_pretty_text(encode(list)));
}

}  // namespace mesh::agent
