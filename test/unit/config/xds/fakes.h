// What decoders need of the world, and resources written as JSON.
#pragma once

#include "config/xds/decode.h"
#include "config/xds/filter_registry.h"
#include "config/xds/json.h"

#include <google/protobuf/any.pb.h>

#include <catch2/catch.hpp>

#include <map>
#include <string>

namespace clew::test {

/// Gives equal keys the same pointer, as the real one does.
class FakeInterner final : public TlsInterner {
 public:
  Decoded<std::shared_ptr<const TlsParams>> intern(Side side, const std::string& key, TlsParams params) override {
    auto& known = known_[{side, key}];
    if (!known) known = std::make_shared<const TlsParams>(std::move(params));
    return known;
  }
  std::size_t size() const { return known_.size(); }

 private:
  std::map<std::pair<Side, std::string>, std::shared_ptr<const TlsParams>> known_;
};

/// A filter of which nothing is known but its config.
struct FakeFilter final : FilterFactory {
  explicit FakeFilter(std::string text) : config(std::move(text)) {}
  std::unique_ptr<Filter> make(const Stream&) const override { return nullptr; }
  std::string_view name() const override { return config; }
  std::string config;
};
struct FakeNetworkFilter final : NetworkFilterFactory {
  explicit FakeNetworkFilter(std::string text) : config(std::move(text)) {}
  std::unique_ptr<NetworkFilter> make() const override { return nullptr; }
  std::string config;
};
struct FakeRouteConfig final : FilterRouteConfig {
  explicit FakeRouteConfig(std::string text) : config(std::move(text)) {}
  std::string config;
};

/// Takes every filter that passed the field table; the value is the config itself.
class FakeFilters final : public FilterRegistry {
 public:
  Decoded<std::shared_ptr<const FilterFactory>> http_filter(std::string_view name,
                                                            const google::protobuf::Message& config) const override {
    return std::make_shared<const FakeFilter>(text(name, config));
  }
  Decoded<std::shared_ptr<const NetworkFilterFactory>> network_filter(
      std::string_view name, const google::protobuf::Message& config) const override {
    return std::make_shared<const FakeNetworkFilter>(text(name, config));
  }
  Decoded<std::shared_ptr<const FilterRouteConfig>> route_config(
      std::string_view name, const google::protobuf::Message& config) const override {
    return std::make_shared<const FakeRouteConfig>(text(name, config));
  }

 private:
  static std::string text(std::string_view name, const google::protobuf::Message& config) {
    return std::string(name) + to_json(config, {.pretty = false});
  }
};

template <class Message>
Message parse(std::string_view json) {
  Message message;
  const auto read = from_json(json, message);
  INFO((read ? std::string() : read.error().message));
  REQUIRE(read.has_value());
  return message;
}

}  // namespace clew::test
