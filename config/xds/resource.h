// A resource as it was received, beside what was made of it. The bytes stay: config_dump gives back what istiod sent,
// unchanged, and an equal resource sent again is recognised by them.
#pragma once

#include "config/xds/config_stats.h"
#include "config/xds/decode.h"
#include "proxy/base/clock.h"

#include <memory>
#include <set>
#include <string>

namespace clew {

/// One accepted version.
template <class T>
struct Accepted {
  std::string bytes;  // the serialized message
  std::string version;
  WallTime updated{};
  std::shared_ptr<const T> value;
  std::shared_ptr<const Needs> needs{};  // of clusters and listeners; shared, most need the same
};

/// The last refusal since something was accepted.
struct Refused {
  std::string bytes, version, message;
  WallTime when{};
};

/// What is remembered of a name beyond its versions.
template <class T>
struct Remembered {};
template <>
struct Remembered<Cluster> {
  EndpointUpdates updates;
};

/// Everything known under one name: what serves, what waits for what it needs, what was refused.
template <class T>
struct Record : Remembered<T> {
  std::unique_ptr<Accepted<T>> active, warming;
  std::unique_ptr<Refused> error;

  const Accepted<T>* newest() const { return warming ? warming.get() : active.get(); }
  bool has(const std::shared_ptr<const T>& value) const {
    return (active && active->value == value) || (warming && warming->value == value);
  }
};

}  // namespace clew
