// Ties the protocol to the store: one ADS stream, one SDS stream for each secret that the agent serves, and the waits
// that have an end. Control thread only; outlives nothing it is given.
#pragma once

#include "config/xds/ads_client.h"
#include "config/xds/config_store.h"
#include "config/xds/sds_client.h"
#include "proxy/base/timer_wheel.h"

#include <map>
#include <memory>
#include <optional>
#include <string>

namespace clew {

class XdsSession {
 public:
  struct Options {
    std::string node;         // serialized envoy.config.core.v3.Node
    std::string ads_cluster;  // empty: static configuration only
    Duration drain_time = std::chrono::seconds(600);
  };

  XdsSession(Worker& worker, Forwarder& forwarder, Options options, const FilterRegistry& filters,
             std::function<void(const std::vector<std::shared_ptr<const Cluster>>&)> resolve,
             std::function<void(Update)> publish, std::function<std::string(const std::string&)> open_log);
  XdsSession(const XdsSession&) = delete;

  ConfigStore& store() { return store_; }
  /// Opens the streams. The store's static resources must have been added and started.
  void start();
  /// Ends every stream; they are gone once the worker has run what is posted.
  void stop();

 private:
  /// One secret that something waits for or uses.
  struct SecretWatch {
    std::shared_ptr<SdsClient> client;  // shared with its coroutine; null: the secret comes over ADS
    std::unique_ptr<Timer> deadline;    // null: waits for ever
  };
  void watch_names(std::string_view type_url, const FetchTimeouts& wanted);
  void watch_secrets(const std::set<SecretReference>& wanted);
  std::unique_ptr<Timer> fetch_deadline(std::string_view type_url, const std::string& name, Duration timeout);
  SecretWatch watch_secret(const SecretReference& reference);

  Worker& worker_;
  Forwarder& forwarder_;
  const Options options_;
  std::map<SecretReference, SecretWatch> secrets_;
  std::map<std::string_view, std::map<std::string, std::unique_ptr<Timer>>> deadlines_;  // type → name
  ConfigStore store_;
  std::optional<AdsClient> ads_;
};

}  // namespace clew
