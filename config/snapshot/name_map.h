// An immutable map from names to shared values. A changed copy shares all shards it did not touch, so an update of one
// name among ten thousand copies a few dozen pointers. Reading is safe from any thread.
#pragma once

#include "proxy/base/strings.h"

#include <array>
#include <memory>
#include <string>
#include <string_view>

namespace clew {

template <class T>
class NameMap {
 public:
  using Value = std::shared_ptr<const T>;
  class Edit;

  /// Null when there is none. The pointer lives as long as this map.
  const T* find(std::string_view name) const {
    const Shard* shard = shards_[index(name)].get();
    if (!shard) return nullptr;
    const auto it = shard->find(name);
    return it == shard->end() ? nullptr : it->second.get();
  }
  Value get(std::string_view name) const {
    const Shard* shard = shards_[index(name)].get();
    if (!shard) return nullptr;
    const auto it = shard->find(name);
    return it == shard->end() ? nullptr : it->second;
  }
  std::size_t size() const { return size_; }

  template <class F>
  void for_each(F&& visit) const {
    for (const auto& shard : shards_)
      if (shard)
        for (const auto& [name, value] : *shard) visit(name, value);
  }

 private:
  using Shard = StringMap<Value>;
  static constexpr std::size_t shard_count = 128;
  static std::size_t index(std::string_view name) { return StringHash{}(name) % shard_count; }
  std::array<std::shared_ptr<const Shard>, shard_count> shards_{};
  std::size_t size_ = 0;
};

/// Makes the next map out of one: a shard is copied at its first change and written in place from then on.
template <class T>
class NameMap<T>::Edit {
 public:
  explicit Edit(NameMap base) : map_(std::move(base)) {}

  /// Adds, replaces (value) or removes (null).
  void set(std::string_view name, Value value) {
    Shard& shard = writable(index(name));
    const auto it = shard.find(name);
    if (it == shard.end()) {
      if (!value) return;
      shard.emplace(std::string(name), std::move(value));
      ++map_.size_;
    } else if (value) {
      it->second = std::move(value);
    } else {
      shard.erase(it);
      --map_.size_;
    }
  }
  NameMap finish() && { return std::move(map_); }

 private:
  Shard& writable(std::size_t i) {
    if (!own_[i]) {
      own_[i] = map_.shards_[i] ? std::make_shared<Shard>(*map_.shards_[i]) : std::make_shared<Shard>();
      map_.shards_[i] = own_[i];
    }
    return *own_[i];
  }
  NameMap map_;
  std::array<std::shared_ptr<Shard>, shard_count> own_{};
};

}  // namespace clew
