#include "config/xds/xds_session.h"

#include "config/xds/type_urls.h"
#include "proxy/base/log.h"

namespace clew {

namespace {

Task<void> run_sds(std::shared_ptr<SdsClient> client) { co_await client->run(); }

}  // namespace

XdsSession::XdsSession(Worker& worker, Forwarder& forwarder, Options options, const FilterRegistry& filters,
                       std::function<void(const std::vector<std::shared_ptr<const Cluster>>&)> resolve,
                       std::function<void(Update)> publish, std::function<std::string(const std::string&)> open_log)
    : worker_(worker),
      forwarder_(forwarder),
      options_(std::move(options)),
      store_(filters, worker.clock(),
             ConfigStore::Wants{
                 .endpoints = [this](const FetchTimeouts& wanted) { watch_names(type_url::endpoints, wanted); },
                 .routes = [this](const FetchTimeouts& wanted) { watch_names(type_url::route, wanted); },
                 .secrets = [this](const std::set<SecretReference>& wanted) { watch_secrets(wanted); },
                 .dns = std::move(resolve),
                 .publish = std::move(publish),
                 .open_log = std::move(open_log),
             },
             options_.drain_time) {
  if (!options_.ads_cluster.empty())
    ads_.emplace(worker_, forwarder_, AdsClient::Options{options_.ads_cluster, options_.node}, store_);
}

void XdsSession::start() {
  if (!ads_) return;
  ads_->watch_all(type_url::cluster);
  ads_->watch_all(type_url::listener);
  store_.on_subscribed();
  spawn(worker_.loop(), ads_->run());
}

void XdsSession::stop() {
  if (ads_) ads_->stop();
  for (auto& [reference, watch] : secrets_)
    if (watch.client) watch.client->stop();
  secrets_.clear();
  deadlines_.clear();
}

/// Null: it waits for ever.
std::unique_ptr<Timer> XdsSession::fetch_deadline(std::string_view type_url, const std::string& name,
                                                  Duration timeout) {
  if (timeout <= Duration::zero()) return nullptr;
  auto timer =
      std::make_unique<Timer>(worker_.timers(), [this, type_url, name] { store_.on_fetch_timeout(type_url, name); });
  timer->arm(timeout);
  return timer;
}

void XdsSession::watch_names(std::string_view type_url, const FetchTimeouts& wanted) {
  if (!ads_) return;
  auto& deadlines = deadlines_[type_url];
  std::erase_if(deadlines, [&](const auto& entry) { return !wanted.contains(entry.first); });
  std::set<std::string> names;
  for (const auto& [name, timeout] : wanted) {
    names.insert(name);
    if (timeout > Duration::zero() && !deadlines.contains(name))
      deadlines.emplace(name, fetch_deadline(type_url, name, timeout));
  }
  ads_->set_names(type_url, names);
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
    watch.client = std::make_shared<SdsClient>(
        worker_, forwarder_, reference.sds_cluster, options_.node, reference.name,
        [this, name = reference.name](const google::protobuf::Any& resource, const std::string& version) {
          return store_.on_secret(name, resource, version);
        });
    spawn(worker_.loop(), run_sds(watch.client));
  }
  watch.deadline = fetch_deadline(type_url::secret, reference.name, reference.fetch_timeout);
  return watch;
}

}  // namespace clew
