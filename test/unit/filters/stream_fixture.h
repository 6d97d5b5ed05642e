// A stream for the test of a filter: one route to one cluster, everything else as a test sets it.
#pragma once

#include "proxy/http/filter.h"
#include "test/support/test_worker.h"

#include <catch2/catch.hpp>

#include <memory>

namespace clew {

struct StreamFixture {
  StreamFixture() { use(Cluster{}); }
  explicit StreamFixture(Cluster cluster) { use(std::move(cluster)); }

  void use(Cluster cluster) {
    if (cluster.name.empty()) cluster.name = "outbound|80||a";
    target.cluster = cluster.name;
    auto snapshot = std::make_shared<Snapshot>();
    auto entry = std::make_shared<ClusterEntry>();
    entry->cluster = std::make_shared<Cluster>(std::move(cluster));
    NameMap<ClusterEntry>::Edit edit(std::move(snapshot->clusters));
    edit.set(target.cluster, std::move(entry));
    snapshot->clusters = std::move(edit).finish();
    stream.snapshot = std::move(snapshot);
    stream.cluster = &target;
  }
  /// The filter of this stream, its on_request done.
  std::unique_ptr<Filter> request(const FilterFactory& factory) {
    std::unique_ptr<Filter> filter = factory.make(stream);
    REQUIRE(filter);
    CHECK(std::holds_alternative<Continue>(filter->on_request(stream)));
    return filter;
  }

  TestWorker t;
  ConnectionInfo connection;
  HttpConnectionManager hcm;
  WeightedCluster target;
  Stream stream{t.worker, connection, hcm};
};

}  // namespace clew
