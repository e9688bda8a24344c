// Images: pulls for tasks and for the API.
#include <algorithm>

#include "base/log.h"
#include "control/agent/agent_impl.h"

namespace mesh::agent {
namespace {

api::ImageSummary to_summary(const StoredImage& image) {
  api::ImageSummary summary;
  summary.id = image.id;
  const auto familiar = [](const std::string& name) {
    const auto reference = ImageReference::parse(name);
    return reference ? reference->familiar() : name;
  };
  for (const std::string& tag : image.tags) summary.repo_tags.push_back(familiar(tag));
  for (const std::string& digest : image.digests) summary.repo_digests.push_back(familiar(digest));
  summary.created = image.config.created;
  summary.size_bytes = image.size_bytes;
  summary.labels = image.config.config.labels;
  return summary;
}

}  // namespace

RegistryAccess Agent::Impl::access(const api::RegistryAuth& auth) const {
  RegistryAccess registry;
  registry.mirror = options_.registry_mirror;
  registry.auth = auth;
  registry.auth_file = options_.data_dir + "/auth.json";
  return registry;
}

void Agent::Impl::pull(const ImageReference& reference, const api::RegistryAuth& auth,
                       std::function<void(const api::PullProgress&)> progress,
                       std::function<void(Result<PulledImage>)> done) {
  // Content that is named by its digest and here needs no registry.
  const StoredImage* here = reference.digest.empty() ? nullptr : images_->find(reference);
  if (here != nullptr) {
    PulledImage pulled{here->id, here->manifest_digest, reference.digest, here->size_bytes};
    boost::asio::post(loop_, guarded([done = std::move(done), pulled] { done(pulled); }));
    return;
  }
  const std::string key = reference.to_string() + " " + auth.username + " " + auth.identity_token;
  auto& waiting = pulls_[key];
  waiting.push_back(std::move(done));
  if (waiting.size() > 1) return;
  PullReport report = [](const api::PullProgress&) {};
  if (progress) {
    auto forward = guarded(std::move(progress));
    report = [&loop = loop_, forward](const api::PullProgress& line) {
      boost::asio::post(loop, [forward, line]() mutable { forward(line); });
    };
  }
  pulls_pool_.run([reference, registry = access(auth), paths = images_->paths(),
                   report] { return pull_remote(reference, registry, paths, report); },
                  guarded([this, reference, key](Result<PulledImage> pulled) {
                    if (pulled) {
                      if (Status added = images_->add(reference, *pulled); !added)
                        pulled = std::unexpected(added.error());
                    }
                    if (pulled) {
                      spdlog::info("image pulled reference={} digest={}", reference.familiar(), pulled->digest);
                    } else {
                      spdlog::warn("{}", pulled.error().message);
                    }
                    const auto callbacks = std::move(pulls_[key]);
                    pulls_.erase(key);
                    for (const auto& callback : callbacks) callback(pulled);
                  }));
}

std::vector<api::ImageSummary> Agent::images() const {
  std::vector<api::ImageSummary> list;
  if (!impl_->images_) return list;
  for (const auto& [id, image] : impl_->images_->images()) list.push_back(to_summary(image));
  std::ranges::sort(list, std::greater{}, &api::ImageSummary::created);
  return list;
}

Result<api::ImageDetail> Agent::image(std::string_view name) const {
  if (!impl_->images_) return fail(ErrorKind::kUnavailable, "the image store is not open");
  const StoredImage* image = TRY(impl_->images_->find(name));
  api::ImageDetail detail;
  detail.summary = to_summary(*image);
  detail.architecture = image->config.architecture;
  detail.os = image->config.os;
  detail.author = image->config.author;
  detail.layers = image->config.rootfs.diff_ids;
  detail.config = image->config.raw_config;
  return detail;
}

void Agent::pull_image(const std::string& reference, const api::RegistryAuth& auth,
                       std::function<void(const api::PullProgress&)> progress,
                       std::function<void(Result<std::string>)> done) {
  auto parsed = ImageReference::parse(reference);
  if (!parsed || !impl_->images_) {
    Error error = parsed ? Error{ErrorKind::kUnavailable, "the image store is not open"} : parsed.error();
    boost::asio::post(impl_->loop_, impl_->guarded([done = std::move(done), error] { done(std::unexpected(error)); }));
    return;
  }
  impl_->pull(*parsed, auth, std::move(progress), [done = std::move(done)](Result<PulledImage> pulled) {
    if (pulled) {
      done(pulled->digest);
    } else {
      done(std::unexpected(pulled.error()));
    }
  });
}

void Agent::resolve_image(const std::string& reference, const api::RegistryAuth& auth,
                          std::function<void(Result<api::RemoteImage>)> done) {
  auto parsed = ImageReference::parse(reference);
  if (!parsed || !impl_->images_) {
    Error error = parsed ? Error{ErrorKind::kUnavailable, "the image store is not open"} : parsed.error();
    boost::asio::post(impl_->loop_, impl_->guarded([done = std::move(done), error] { done(std::unexpected(error)); }));
    return;
  }
  impl_->pulls_pool_.run(
      [reference = *parsed, registry = impl_->access(auth), paths = impl_->images_->paths()] {
        return resolve_remote(reference, registry, paths);
      },
      impl_->guarded([done = std::move(done)](Result<api::RemoteImage> found) { done(std::move(found)); }));
}

}  // namespace mesh::agent
