#include "config/xds/xds_session.h"

#include "config/xds/type_urls.h"
#include "proxy/base/log.h"

namespace clew {

namespace {

// Envoy's default initial_fetch_timeout, which istiod leaves in place for secrets over ADS.
constexpr Duration secret_wait = std::chrono::seconds(15);

Task<void> run_sds(std::shared_ptr<SdsClient> client) { co_await client->run(); }

}  // namespace

XdsSession::XdsSession(Worker& worker, Forwarder& forwarder, Options options, const FilterRegistry& filters,
                       std::function<void(const std::vector<std::shared_ptr<const Cluster>>&)> resolve,
                       std::function<void(Update)> publish)
    : worker_(worker),
      forwarder_(forwarder),
      options_(std::move(options)),
      store_(filters, worker.clock(),
             ConfigStore::Wants{
                 .endpoints =
                     [this](const std::set<std::string>& names) {
                       if (ads_) ads_->set_names(type_url::endpoints, names);
                     },
                 .routes =
                     [this](const std::set<std::string>& names) {
                       if (ads_) ads_->set_names(type_url::route, names);
                     },
                 .secrets = [this](const std::set<SecretReference>& wanted) { watch_secrets(wanted); },
                 .dns = std::move(resolve),
                 .publish = std::move(publish),
             }) {
  if (!options_.ads_cluster.empty())
    ads_.emplace(worker_, forwarder_, AdsClient::Options{options_.ads_cluster, options_.node}, store_);
}

void XdsSession::start() {
  if (!ads_) return;
  ads_->watch_all(type_url::cluster);
  ads_->watch_all(type_url::listener);
  spawn(worker_.loop(), ads_->run());
}

void XdsSession::stop() {
  if (ads_) ads_->stop();
  for (auto& [reference, watch] : secrets_)
    if (watch.client) watch.client->stop();
  secrets_.clear();
}

void XdsSession::watch_secrets(const std::set<SecretReference>& wanted) {
  std::erase_if(secrets_, [&](auto& entry) {
    if (wanted.contains(entry.first)) return false;
    if (entry.second.client) entry.second.client->stop();
    return true;
  });
  std::set<std::string> over_ads;
  for (const auto& reference : wanted) {
    if (reference.sds_cluster.empty()) over_ads.insert(reference.name);
    if (!secrets_.contains(reference)) secrets_.emplace(reference, watch_secret(reference));
  }
  if (ads_) ads_->set_names(type_url::secret, over_ads);
}

XdsSession::SecretWatch XdsSession::watch_secret(const SecretReference& reference) {
  SecretWatch watch;
  if (!reference.sds_cluster.empty()) {
    watch.client =
        std::make_shared<SdsClient>(worker_, forwarder_, reference.sds_cluster, options_.node, reference.name,
                                    [this](const google::protobuf::Any& resource, const std::string& version) {
                                      return store_.on_secret(resource, version);
                                    });
    spawn(worker_.loop(), run_sds(watch.client));
  }
  if (!reference.waits_forever) {
    watch.deadline =
        std::make_unique<Timer>(worker_.timers(), [this, name = reference.name] { store_.on_secret_timeout(name); });
    watch.deadline->arm(secret_wait);
  }
  return watch;
}

}  // namespace clew
