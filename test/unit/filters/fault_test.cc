#include "filters/http/fault.h"

#include "filters/http/percent.h"
#include "test/unit/filters/stream_fixture.h"

namespace clew {
namespace {

struct Fixture : StreamFixture {
  TestWorker::Started<Verdict> ask() {
    factory = make_fault("fault", policy);
    CHECK(factory->waits());
    filter = factory->make(stream);
    REQUIRE(filter);
    return t.start(filter->on_request_wait(stream, body));
  }
  FaultPolicy policy;
  std::shared_ptr<const FilterFactory> factory;
  std::unique_ptr<Filter> filter;
  BodyPtr body;
};

TEST_CASE("fault: abort", "[filters]") {
  Fixture f;
  f.policy.abort = FaultPolicy::Abort{418, {}, 100};
  auto asked = f.ask();
  REQUIRE(asked.done());
  const Verdict verdict = asked.get();
  const auto* reply = std::get_if<LocalReply>(&verdict);
  REQUIRE(reply);
  CHECK(reply->status == 418);
  CHECK(reply->body == "fault filter abort");
  CHECK(reply->details == "fault_filter_abort");
  CHECK(reply->flag == ResponseFlag::fault_injected);
}

TEST_CASE("fault: delay, then abort", "[filters]") {
  Fixture f;
  f.policy.delay = FaultPolicy::Delay{std::chrono::seconds(3), 100};
  f.policy.abort = FaultPolicy::Abort{200, 14, 100};
  auto asked = f.ask();
  f.t.advance(std::chrono::seconds(2));
  CHECK_FALSE(asked.done());
  f.t.advance(std::chrono::seconds(2));
  REQUIRE(asked.done());
  const Verdict verdict = asked.get();
  REQUIRE(std::holds_alternative<LocalReply>(verdict));
  CHECK(std::get<LocalReply>(verdict).grpc_status == 14u);
  CHECK(f.stream.info.flags.has(ResponseFlag::delay_injected));
  CHECK_FALSE(f.stream.abandon);
}

TEST_CASE("fault: a client that has gone is not waited for", "[filters]") {
  Fixture f;
  f.policy.delay = FaultPolicy::Delay{std::chrono::hours(1), 100};
  auto asked = f.ask();
  CHECK_FALSE(asked.done());
  f.stream.cancel(Errc::downstream_closed);
  f.t.poll();
  CHECK(asked.done());
}

TEST_CASE("fault: nothing at nought percent, and no filter without a fault", "[filters]") {
  Fixture f;
  f.policy.abort = FaultPolicy::Abort{500, {}, 0};
  auto asked = f.ask();
  REQUIRE(asked.done());
  CHECK(std::holds_alternative<Continue>(asked.get()));
  CHECK_FALSE(make_fault("fault", {})->make(f.stream));
}

TEST_CASE("fault: the route's config goes before the filter's", "[filters]") {
  Fixture f;
  Route route;
  route.filter_config.emplace("fault", std::make_shared<FaultPolicy>());
  f.stream.route = &route;
  FaultPolicy everywhere;
  everywhere.abort = FaultPolicy::Abort{500, {}, 100};
  CHECK_FALSE(make_fault("fault", everywhere)->make(f.stream));
}

TEST_CASE("fault: a share is a share", "[filters]") {
  TestWorker t;
  int hits = 0;
  for (int i = 0; i < 20000; ++i) hits += draw_percent(t.worker, 10);
  CHECK(hits > 1600);
  CHECK(hits < 2400);
}

}  // namespace
}  // namespace clew
