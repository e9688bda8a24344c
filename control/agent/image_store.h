// The images of this host: manifests, configs and unpacked layers below one directory.
//
//   blobs/sha256/<hex>   manifests, configs and layers as the registry sent them (skopeo's shared blob directory)
//   layers/<key>         one unpacked layer, named by its diff id, shared by every image that has it
//   images.json          names and ids
//   tmp/                 what a pull is working on; emptied at open()
//
// A layer directory appears by rename when it is complete. Metadata belongs to one thread; the blocking functions that
// fill blobs and layers (image_pull.h) take the paths and return values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "control/agent/image_manifest.h"
#include "control/agent/image_reference.h"

namespace mesh::agent {

struct ImagePaths {
  std::string root;

  [[nodiscard]] std::string blobs() const { return root + "/blobs"; }
  [[nodiscard]] std::string blob(const std::string& digest) const;
  [[nodiscard]] std::string layers() const { return root + "/layers"; }
  [[nodiscard]] std::string layer(const std::string& diff_id) const { return layers() + "/" + layer_key(diff_id); }
  [[nodiscard]] std::string tmp() const { return root + "/tmp"; }
  [[nodiscard]] std::string index() const { return root + "/images.json"; }
  // 24 hexadecimal digits of the diff id: 96 bits, short enough that the names of 127 layers fit into the one page that
  // mount(2) takes.
  [[nodiscard]] static std::string layer_key(const std::string& diff_id);
};

// What a finished pull put into the store.
struct PulledImage {
  std::string id;                // digest of the config
  std::string manifest_digest;   // of this platform's manifest
  std::string digest;            // what the reference points at: the index's digest for a multi-platform image
  std::uint64_t size_bytes = 0;  // unpacked
};

struct StoredImage {
  std::string id;
  std::string manifest_digest;
  std::vector<std::string> tags;     // "docker.io/library/nginx:latest"
  std::vector<std::string> digests;  // "docker.io/library/nginx@sha256:…"
  std::uint64_t size_bytes = 0;
  ImageConfig config;  // from the blob, not from images.json
};
template <class Visit>
constexpr bool json_fields(const StoredImage*, Visit&& visit) {
  return visit("ID", &StoredImage::id) && visit("ManifestDigest", &StoredImage::manifest_digest) &&
         visit("Tags", &StoredImage::tags) && visit("Digests", &StoredImage::digests) &&
         visit("SizeBytes", &StoredImage::size_bytes);
}

class ImageStore {
 public:
  // Makes the directories, reads images.json and drops images whose blobs or layers are gone (logged).
  [[nodiscard]] static Result<ImageStore> open(const std::string& root);

  [[nodiscard]] const ImagePaths& paths() const { return paths_; }
  [[nodiscard]] const std::map<std::string, StoredImage>& images() const { return images_; }
  // By reference, "sha256:<id>", id or unique prefix of an id (at least 4 digits). kNotFound: "No such image: NAME".
  [[nodiscard]] Result<const StoredImage*> find(std::string_view name) const;
  // By reference only; nullptr if it is not here.
  [[nodiscard]] const StoredImage* find(const ImageReference& reference) const;

  // Enters a pulled image under the reference; the tag moves here from any other image.
  Status add(const ImageReference& reference, const PulledImage& pulled);
  // Removes the image and every blob and layer that no other image needs. `name` as for find().
  Status remove(std::string_view name);
  // Removes blobs and layers that belong to no image. Call while no pull runs.
  Status collect();

 private:
  explicit ImageStore(ImagePaths paths) : paths_(std::move(paths)) {}
  Status save() const;

  ImagePaths paths_;
  std::map<std::string, StoredImage> images_;  // by id
};

// The config of an image in the store, checked against its digest; used by open() and by the pull.
[[nodiscard]] Result<Manifest> read_manifest(const ImagePaths& paths, const std::string& digest);
[[nodiscard]] Result<ImageConfig> read_image_config(const ImagePaths& paths, const Manifest& manifest);

}  // namespace mesh::agent
